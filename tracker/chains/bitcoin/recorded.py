"""Recorded blocks and spent coins in files: raw, hex or JSON, gzipped or not.

JSON may be a whole JSON-RPC reply, its bare `result`, a list of recorded `{"request", "response"}`
pairs, or a getblock reply of verbosity 1 with the raw hex added as `block`.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec

from tracker.chains.bitcoin.block import MAX_MONEY
from tracker.chains.bitcoin.header import HEADER_BYTES
from tracker.domain.match import Coin
from tracker.errors import InputError

MAX_FILE_BYTES = 64_000_000
_GZIP_MAGIC = b"\x1f\x8b"
_HEX_KEYS = ("result", "block", "hex", "raw")


@dataclass(frozen=True, slots=True)
class RecordedBlock:
    """A raw block, and the height that the recording states beside it, if any."""

    raw: bytes
    height: int | None


def load_file(path: Path, field: str) -> bytes:
    """The bytes of `path`, ungzipped, at most 64 MB; raises `InputError` naming `field`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if data.startswith(_GZIP_MAGIC):
            with gzip.open(BytesIO(data)) as packed:
                data = packed.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(
            f"the file cannot be read: {reason}", field=field, value=path,
            mend="give an existing, whole file",
        ) from None
    if len(data) > MAX_FILE_BYTES:
        raise InputError(
            f"the file is larger than {MAX_FILE_BYTES // 1_000_000} MB", field=field, value=path,
            mend="give one block a file",
        )
    return data


def block_in(data: bytes, field: str = "--raw") -> RecordedBlock:
    """The block that `data` holds in any of the forms above; raises `InputError`."""
    text = _ascii(data)
    if text is None:
        return RecordedBlock(data, None)
    if text[:1] not in ("{", "[", '"'):
        raw = _unhex(text)
        if raw is None:
            raise _no_block(field, text)
        return RecordedBlock(raw, None)
    for candidate, height in _candidates(_json(text, field), None):
        raw = _unhex(candidate)
        if raw is not None:
            return RecordedBlock(raw, height)
    raise _no_block(field, text)


def coins_in(data: bytes, field: str = "--spent") -> tuple[Coin, ...]:
    """The spent coins that `data` lists, in the order of the block's inputs.

    Two shapes: `[{"value", "script_pubkey"}]`, and the same inside `"txout"`. Amounts are satoshi.
    Raises `InputError` naming the row.
    """
    text = _ascii(data)
    rows = None if text is None else _json(text, field)
    if not isinstance(rows, list):
        raise InputError(
            "not a list of spent coins", field=field,
            mend='give JSON: [{"value": satoshi, "script_pubkey": "hex"}], in input order',
        )
    return tuple(_coin(row, number, field) for number, row in enumerate(rows))


def _coin(row: Any, number: int, field: str) -> Coin:
    if isinstance(row, dict):
        row = row.get("txout", row)
    if isinstance(row, dict):
        value, script = row.get("value"), row.get("script_pubkey")
        amount = value if isinstance(value, int) and not isinstance(value, bool) else -1
        key = _unhex(script) if script != "" else b""
        if 0 <= amount <= MAX_MONEY and key is not None:
            return Coin(key, amount)
    raise InputError(
        f"row {number} is not a spent coin", field=field, value=row,
        mend='each row needs "value" in whole satoshi and "script_pubkey" in hex',
    )


def _candidates(value: Any, height: int | None) -> Iterator[tuple[str, int | None]]:
    """Every place in a recording where a block's hex may stand, with the height beside it."""
    if isinstance(value, str):
        yield value, height
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield from _candidates(item.get("response"), height)
    elif isinstance(value, dict):
        stated = value.get("height")
        if isinstance(stated, int) and not isinstance(stated, bool) and stated >= 0:
            height = stated
        for key in _HEX_KEYS:
            if key in value:
                yield from _candidates(value[key], height)


def _ascii(data: bytes) -> str | None:
    """The text of `data`, or None where it is binary, as a raw block always is (zero bytes)."""
    if b"\0" in data:
        return None
    try:
        return data.decode("ascii").strip()
    except UnicodeDecodeError:
        return None


def _json(text: str, field: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(
            f"not valid JSON: {error}", field=field, mend="give the file as it was recorded"
        ) from None


def _unhex(text: Any) -> bytes | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _no_block(field: str, text: str) -> InputError:
    return InputError(
        "no raw block found", field=field, value=text[:60] or "an empty file",
        mend=f"give the block's bytes (at least {HEADER_BYTES}), their hex, or JSON that holds it",
    )
