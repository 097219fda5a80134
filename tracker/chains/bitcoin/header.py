"""A Bitcoin block header: 80 bytes, six fields and the hash that names the block."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from struct import Struct

from tracker.errors import InvalidBlockError

HEADER_BYTES = 80
# Version, parent, merkle root, time, bits, nonce; little endian. Bitcoin Core, primitives/block.h.
_HEADER = Struct("<i32s32sIII")


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of a header. Hashes in display order; `bits` is the compact target."""

    version: int
    parent: bytes
    merkle_root: bytes
    time: datetime
    bits: int
    nonce: int
    hash: bytes


def double_sha256(data: bytes) -> bytes:
    """SHA-256 applied twice, in internal order: Bitcoin's hash of headers and transactions."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def parse_header(raw: bytes) -> Header:
    """Read the header from the first 80 bytes of `raw`, a header or a whole block.

    Raises `InvalidBlockError` where there are fewer than 80.
    """
    if len(raw) < HEADER_BYTES:
        raise InvalidBlockError(
            "a block header has 80 bytes", field="header", value=f"{len(raw)} bytes",
            mend="fetch the whole block again",
        )
    version, parent, root, seconds, bits, nonce = _HEADER.unpack_from(raw)
    return Header(
        version=version,
        parent=parent[::-1],
        merkle_root=root[::-1],
        time=datetime.fromtimestamp(seconds, UTC),
        bits=bits,
        nonce=nonce,
        hash=double_sha256(raw[:HEADER_BYTES])[::-1],
    )
