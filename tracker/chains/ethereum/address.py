"""Ethereum addresses: any case in, EIP-55 out.

The 40 hexadecimal digits carry a checksum only in mixed case (EIP-55): a digit that is a letter is
a capital where the matching digit of keccak-256 of the lower-case text is 8 or more. Text in one
case is accepted without one, since many sources give it so.
"""

from __future__ import annotations

import re

from eth_hash.auto import keccak

from tracker.errors import AddressError

_ADDRESS = re.compile(r"0[xX]([0-9a-fA-F]{40})", re.ASCII)
_BARE = re.compile(r"[0-9a-fA-F]{40}", re.ASCII)
_NAME = re.compile(r"[^\s.]+(\.[^\s.]+)+")

# EIP-1352: 0x0000 to 0xffff is set aside for precompiles and system contracts.
_RESERVED_BELOW = 0x1_0000


def parse(address: str) -> tuple[bytes, str]:
    """The 20 bytes and the EIP-55 text of `address`, given with `0x` in any case.

    Mixed case must pass the checksum. Raises `AddressError` for a wrong one, for another form and
    for an ENS name.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise _misformed(address)
    digits = found[1]
    key = bytes.fromhex(digits)
    text = checksummed(key)
    if digits not in (text[2:], digits.lower(), digits.upper()):
        raise AddressError(
            "the EIP-55 checksum is wrong",
            field="address",
            value=address,
            mend="copy the address again from its source: a character or its case is wrong",
        )
    return key, text


def checksummed(key: bytes) -> str:
    """The EIP-55 text of a 20-byte address."""
    digits = key.hex()
    digest = keccak(digits.encode("ascii")).hex()
    return "0x" + "".join(
        digit.upper() if nibble >= "8" else digit
        for digit, nibble in zip(digits, digest, strict=False)
    )


def is_reserved(key: bytes) -> bool:
    """Whether the address is the zero address or a precompile's: nobody can hold its key."""
    return int.from_bytes(key) < _RESERVED_BELOW


def _misformed(address: str) -> AddressError:
    message = "not an Ethereum address"
    mend = "give 0x and 40 hexadecimal digits"
    if _BARE.fullmatch(address):
        message, mend = "the address lacks its 0x", f"write 0x{address}"
    elif _NAME.fullmatch(address):
        message = "a name is not an address: it can be pointed elsewhere at any time"
        mend = "resolve the ENS name and give the address, 0x and 40 hexadecimal digits"
    elif re.fullmatch(r"0[xX][0-9a-fA-F]*", address, re.ASCII):
        message = f"an Ethereum address has 40 hexadecimal digits, not {len(address) - 2}"
    return AddressError(message, field="address", value=address, mend=mend)
