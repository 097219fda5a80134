"""Fields of a block's records, read strictly: what is no hexadecimal is an error that names it."""

from __future__ import annotations

from tracker.chains.ethereum import quantity
from tracker.errors import ReplyError


def number(text: object, field: str) -> int:
    """The number that a quantity or a 32-byte word states; raises `ReplyError` naming `field`."""
    try:
        if isinstance(text, str):
            return quantity.number(text)
    except ValueError:
        pass
    raise malformed(field, text)


def octets(text: object, size: int, field: str) -> bytes:
    """Exactly `size` bytes, of digits in any case; raises `ReplyError` naming `field`."""
    if isinstance(text, str) and len(text) == 2 + 2 * size and text[:2] == "0x":
        try:
            found = bytes.fromhex(text[2:])
        except ValueError:
            raise malformed(field, text) from None
        if len(found) == size:  # `fromhex` passes over white space
            return found
    raise malformed(field, text)


def malformed(field: str, value: object) -> ReplyError:
    """The error of a field that is not the hexadecimal it should be."""
    return ReplyError(
        "malformed hexadecimal", field=field, value=value,
        mend="fetch the reply again, or from another source",
    )
