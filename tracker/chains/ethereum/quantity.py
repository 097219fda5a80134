"""Hexadecimal of Ethereum's JSON-RPC, in and out.

Two encodings (https://ethereum.org/developers/docs/apis/json-rpc/#conventions): a quantity is a
number without leading zeros, data has two digits a byte.
"""

from __future__ import annotations

from tracker.errors import ReplyError

_MATCHED = 66  # 0x and the 64 digits of a hash or a topic


def number(text: str) -> int:
    """The number in `0x…`; raises `ValueError` for anything else."""
    if text[:2] != "0x" or "_" in text:
        raise ValueError("a quantity is 0x and hexadecimal digits")
    return int(text, 16)


def octets(text: str) -> bytes:
    """The bytes in `0x…`; raises `ValueError` for anything else.

    No blanks, and small letters up to the length of a hash, since such texts are matched as they
    are: another spelling of the same bytes would pass every hash and be overlooked.
    """
    if text[:2] != "0x" or (len(text) <= _MATCHED and not text.islower()):
        raise ValueError("data is 0x and hexadecimal digits, in small letters")
    found = bytes.fromhex(text[2:])
    if 2 * len(found) + 2 != len(text):
        raise ValueError("data is 0x and hexadecimal digits, without blanks")
    return found


def quantity_reply(text: str, source: str, what: str) -> int:
    """`number` of what a source answered; raises `ReplyError` naming `what`."""
    try:
        return number(text)
    except ValueError:
        raise _no_hex(text, source, what) from None


def data_reply(text: str, source: str, what: str, *, size: int | None = None) -> bytes:
    """`octets` of what a source answered, `size` of them; raises `ReplyError` naming `what`."""
    try:
        found = octets(text)
    except ValueError:
        raise _no_hex(text, source, what) from None
    if size is not None and len(found) != size:
        raise _no_hex(text, source, what)
    return found


def hexed(data: bytes) -> str:
    """Data as the node wants it."""
    return "0x" + data.hex()


def _no_hex(text: str, source: str, what: str) -> ReplyError:
    return ReplyError(
        f"{source} answered without a proper {what}", field=what, value=text,
        mend="check that the source's URL leads to an Ethereum JSON-RPC endpoint",
    )
