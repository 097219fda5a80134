"""Recursive length prefix, writing only (Yellow Paper, appendix B).

The two shapes are two functions, so that encoding a transaction is a join and no tree is built.
"""

from __future__ import annotations

from collections.abc import Iterable


def text(data: bytes) -> bytes:
    """The encoding of a string of bytes."""
    size = len(data)
    if size == 1 and data[0] < 0x80:
        return data
    if size < 56:
        return bytes((0x80 + size,)) + data
    length = _bare(size)
    return bytes((0xB7 + len(length),)) + length + data


def integer(value: int) -> bytes:
    """The encoding of a number: its bytes without leading zeros; 0 is the empty string."""
    return text(_bare(value))


def items(encoded: Iterable[bytes]) -> bytes:
    """The encoding of a list whose items are encoded already."""
    payload = b"".join(encoded)
    size = len(payload)
    if size < 56:
        return bytes((0xC0 + size,)) + payload
    length = _bare(size)
    return bytes((0xF7 + len(length),)) + length + payload


def _bare(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8)
