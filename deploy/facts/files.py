"""The files on both sides: recorded data that is read, tables of the package that are written."""

from __future__ import annotations

import csv
import gzip
import io
import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Cells = dict[str, str]

# A table above this size is gzipped.
PLAIN_LIMIT = 200_000

TABLES = Path(__file__).resolve().parent / "tables"


def read_csv(path: Path) -> list[Cells]:
    """The rows of a CSV file with a header."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, strict=True))


def read_json(path: Path) -> Any:
    """The content of a JSON file, gzipped or not."""
    return json.loads(unpacked(path))


def table(name: str) -> list[Cells]:
    """One of the hand-kept tables beside this module."""
    return read_csv(TABLES / f"{name}.csv")


def write(folder: Path, name: str, columns: tuple[str, ...], rows: Iterable[Cells]) -> Path:
    """Write one table, gzipped where it is large; the file is left alone if it says the same.

    Compressors differ from build to build, so the content decides whether a file is new: making
    the facts again on another machine changes no byte.
    """
    text = _csv(columns, rows).encode("utf-8")
    plain, packed = folder / f"{name}.csv", folder / f"{name}.csv.gz"
    small = len(text) <= PLAIN_LIMIT
    path, other = (plain, packed) if small else (packed, plain)
    other.unlink(missing_ok=True)
    if not path.exists() or unpacked(path) != text:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if small else gzip.compress(text, 9, mtime=0))
    return path


def _csv(columns: tuple[str, ...], rows: Iterable[Cells]) -> str:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _clean(value) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def _clean(value: str) -> str:
    """Without marks that cannot be seen (some token names hide one to pass for another)."""
    return "".join(mark for mark in value if unicodedata.category(mark) != "Cf").strip()


def unpacked(path: Path) -> bytes:
    """The content of a file, gzipped or not."""
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content
