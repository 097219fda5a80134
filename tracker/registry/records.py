"""Records of an imported file: CSV or JSON in, checked cells and row-by-row errors out.

A file that cannot be read at all (too large, not UTF-8, a column that is unknown) is one error. A
row that cannot be read is reported and left out, and the rest of the file goes on.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

from tracker.errors import InputError, TrackerError

E = TypeVar("E", bound=StrEnum)

MAX_BYTES = 50_000_000
_LONGEST_CELL = 2_000  # characters
_MOST_REJECTED = 10_000  # row errors kept; a file with more is the wrong file

# Control characters and lone surrogates, which the database refuses, and the marks that reverse
# the direction of writing, with which one name can be made to look like another.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a file must have and those that it may have."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Required first."""
        return self.required + self.optional


@dataclass(frozen=True, slots=True)
class RowError:
    """Why one row was left out. `row` counts from 1, a CSV header being row 1."""

    row: int
    field: str | None
    value: str | None
    message: str
    mend: str | None

    @classmethod
    def of(cls, row: int, error: TrackerError) -> RowError:
        """`error` as that of row `row`."""
        return cls(row, error.field, error.value, error.message, error.mend)


@dataclass(frozen=True, slots=True)
class Record:
    """One row: its cells without surrounding blanks, "" where a column is absent.

    Every method raises `InputError` for a cell of another form.
    """

    row: int
    cells: Mapping[str, str]

    def optional(self, name: str, longest: int = _LONGEST_CELL) -> str | None:
        """The cell in one line, or None where it is empty: unknown."""
        value = " ".join(self.cells.get(name, "").split())
        if len(value) > longest:
            raise InputError(
                f"longer than {longest} characters", field=name, value=value, mend="shorten it"
            )
        if _UNPRINTABLE.search(value):
            raise InputError(
                "a character that cannot be shown",
                field=name,
                value=ascii(value),
                mend="remove control characters and marks of writing direction",
            )
        return value or None

    def text(self, name: str, longest: int = _LONGEST_CELL) -> str:
        """The cell in one line; it must not be empty."""
        value = self.optional(name, longest)
        if value is None:
            raise InputError("missing", field=name, mend=f"give the {name}")
        return value

    def choice(self, name: str, allowed: Collection[str], default: str | None = None) -> str:
        """A cell that is one of `allowed`; `default` where it is empty."""
        value = self.optional(name) or default
        if value is None or value not in allowed:
            near = get_close_matches(value or "", list(allowed), n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise InputError(
                f"unknown {name}" if value else "missing",
                field=name,
                value=value,
                mend=f"{hint}use one of {', '.join(allowed)}",
            )
        return value

    def member(self, name: str, kind: type[E], default: E | None = None) -> E:
        """A cell that is a value of the enumeration `kind`."""
        return kind(self.choice(name, [str(member) for member in kind], default))

    def flag(self, name: str, *, default: bool) -> bool:
        """`true` or `false` (also yes and no, 1 and 0)."""
        value = (self.optional(name) or str(default)).lower()
        if value not in ("true", "yes", "1", "false", "no", "0"):
            raise InputError("not a yes or no", field=name, value=value, mend="give true or false")
        return value in ("true", "yes", "1")

    def instant(self, name: str) -> datetime | None:
        """A date or an ISO time with its zone, as UTC; None where the cell is empty."""
        value = self.optional(name)
        if value is None:
            return None
        try:
            if len(value) <= len("2026-01-31"):
                day = date.fromisoformat(value)
                return datetime(day.year, day.month, day.day, tzinfo=UTC)
            at = datetime.fromisoformat(value)
            if at.tzinfo is not None:
                return at.astimezone(UTC)
        except (ValueError, OverflowError):
            pass  # the one error below says what is wanted, whichever part was wrong
        raise InputError(
            "not a date",
            field=name,
            value=value,
            mend="give a date as 2026-01-31, or a time with its zone as 2026-01-31T12:00:00Z",
        )


@dataclass(frozen=True, slots=True)
class Records:
    """What a file holds: the rows that could be read, and why others could not.

    `header` is what the file says of itself as a whole (`# key: value` lines before a CSV header).
    """

    rows: tuple[Record, ...]
    errors: tuple[RowError, ...] = ()
    header: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How an import went: rows taken, rows that changed nothing, and rows left out with the why."""

    accepted: int
    rejected: tuple[RowError, ...]
    unchanged: int = 0
    dry_run: bool = False


def record(**cells: object) -> Record:
    """One row from values given in code or by the API; None is an empty cell."""
    return Record(1, {name: _cell(name, value) for name, value in cells.items()})


def read(data: bytes, form: str, columns: Columns) -> Records:
    """The records of a file in `form` `csv` or `json` (an array, or `{"items": […]}`).

    Raises `InputError` when the file as a whole cannot be read.
    """
    if form == "csv":
        return read_csv(data, columns)
    if form == "json":
        return read_json(data, columns)
    raise InputError("unknown format", field="format", value=form, mend="use csv or json")


def decode(data: bytes, most: int = MAX_BYTES) -> str:
    """`data` as text, without a byte-order mark. Raises `InputError` unless it is bounded UTF-8."""
    if len(data) > most:
        raise InputError(
            f"the file is larger than {most // 1_000_000} MB",
            field="file",
            value=f"{len(data)} bytes",
            mend="split it into smaller files",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            "the file is not UTF-8",
            field="file",
            value=f"byte {error.start}",
            mend="save it as UTF-8 (in a spreadsheet: CSV UTF-8)",
        ) from None


def read_csv(data: bytes, columns: Columns) -> Records:
    """The records of a CSV file; `InputError` names a missing or unknown column."""
    source = io.StringIO(decode(data), newline="")
    preamble, skipped = _preamble(source)
    reader = csv.reader(source, strict=True)
    rows: list[Record] = []
    errors: list[RowError] = []
    names: list[str] | None = None
    for number, cells in _csv_rows(reader, errors, skipped):
        if not any(cell.strip() for cell in cells):
            continue
        if names is None:
            names = _header(cells, columns)
        elif len(cells) != len(names):
            errors.append(
                _malformed(number, f"{len(cells)} cells, where the header has {len(names)}")
            )
        else:
            rows.append(Record(number, dict(zip(names, map(str.strip, cells), strict=True))))
        _bound(errors)
    if names is None:
        _header([], columns)
    return Records(tuple(rows), tuple(errors), preamble)


def read_json(data: bytes, columns: Columns) -> Records:
    """The records of a JSON array of objects, or of the `items` of one object."""
    try:
        document = json.loads(decode(data))
    except (ValueError, RecursionError):
        raise InputError(
            "the file is not JSON", field="file", mend="give a JSON array of objects"
        ) from None
    items = document.get("items") if isinstance(document, dict) else document
    if not isinstance(items, list):
        raise InputError("no array of rows", field="file", mend="give a JSON array of objects")
    rows: list[Record] = []
    errors: list[RowError] = []
    for number, item in enumerate(items, 1):
        try:
            rows.append(Record(number, _object_cells(item, columns)))
        except InputError as error:
            errors.append(RowError.of(number, error))
            _bound(errors)
    return Records(tuple(rows), tuple(errors))


def _csv_rows(reader: Any, errors: list[RowError], skipped: int) -> Iterator[tuple[int, list[str]]]:
    number = skipped
    while True:
        number += 1
        try:
            yield number, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            errors.append(_malformed(number, f"not CSV: {error}"))
            _bound(errors)


def _preamble(source: io.StringIO) -> tuple[dict[str, str], int]:
    """The `# key: value` lines before the header, and how many lines they are."""
    said: dict[str, str] = {}
    lines = 0
    while True:
        start = source.tell()
        line = source.readline()
        if not line.startswith("#"):
            source.seek(start)
            return said, lines
        lines += 1
        key, _, value = line[1:].partition(":")
        said[key.strip().lower()] = value.strip()


def _header(cells: Collection[str], columns: Columns) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    for name in names:
        if name not in columns.all:
            near = get_close_matches(name, columns.all, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            if len(names) == 1 and (";" in name or "\t" in name):
                hint = "separate the columns with commas. "
            raise InputError(
                "unknown column",
                field="header",
                value=name,
                mend=f"{hint}the columns are {', '.join(columns.all)}",
            )
        if names.count(name) > 1:
            raise InputError(
                "a column twice", field="header", value=name, mend="remove one of them"
            )
    for name in columns.required:
        if name not in names:
            raise InputError(
                f"the column {name} is missing",
                field="header",
                value=",".join(names),
                mend=f"the first row names the columns; {', '.join(columns.required)} are needed",
            )
    return names


def _object_cells(item: object, columns: Columns) -> dict[str, str]:
    if not isinstance(item, dict):
        raise InputError("not an object", field="row", value=item, mend="give an object a row")
    for name in item:
        if name not in columns.all:
            raise InputError(
                "unknown field",
                field=ascii(name),
                mend=f"the fields are {', '.join(columns.all)}",
            )
    return {name: _cell(name, value) for name, value in item.items()}


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int):
        return str(value)
    raise InputError(
        "not a text", field=name, value=ascii(value), mend="give a JSON string in quotes"
    )


def _malformed(number: int, message: str) -> RowError:
    return RowError(number, "row", None, message, "quote cells that hold a comma or a quote")


def _bound(errors: list[RowError]) -> None:
    if len(errors) > _MOST_REJECTED:
        raise InputError(
            f"more than {_MOST_REJECTED} rows cannot be read",
            field="file",
            mend="check that this is the right file; the first row that failed said: "
            + errors[0].message,
        )
