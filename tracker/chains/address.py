"""One door for the addresses of both chains: text in, canonical text and matching key out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tracker.chains.bitcoin import address as bitcoin
from tracker.chains.ethereum import address as ethereum
from tracker.errors import AddressError, InputError

BITCOIN: Final = "bitcoin"
ETHEREUM: Final = "ethereum"
CHAINS: Final = (BITCOIN, ETHEREUM)

# No address of either chain, nor `script:` and a script of standard size, is longer.
_LONGEST = 300

# Forms of private keys: WIF, extended private keys, and 32 bytes in hexadecimal. Somebody pastes
# one sooner or later; it must not come back in an error text or a log.
_SECRET = re.compile(
    r"[5KL9c][1-9A-HJ-NP-Za-km-z]{50,51}"
    r"|[xyztuvYZUV]prv[1-9A-HJ-NP-Za-km-z]{50,120}"
    r"|(0[xX])?[0-9a-fA-F]{64}",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ParsedAddress:
    """An address that passed its checksum.

    `address` is the canonical text (EIP-55 on Ethereum, bech32 in lower case on Bitcoin). `key` is
    what a block scan matches: the scriptPubKey on Bitcoin, the 20 bytes on Ethereum.
    """

    chain: str
    address: str
    key: bytes


def parse(
    chain: str, address: str, network: str = "mainnet", *, wallet: bool = False
) -> ParsedAddress:
    """Check `address` of `chain` and return its canonical text and key.

    `network` is that of Bitcoin; an Ethereum address is the same on every network. `wallet` also
    refuses addresses that nobody can own (the zero address, precompiles). Raises `AddressError`
    for a bad address, and `InputError` for an unknown chain.
    """
    text = address.strip()
    if chain not in CHAINS:
        raise InputError(
            "unknown chain", field="chain", value=chain, mend=f"use one of {', '.join(CHAINS)}"
        )
    if not text or len(text) > _LONGEST or not text.isascii():
        raise AddressError(
            "not an address",
            field="address",
            value=text,
            mend=f"give an address of {chain} in plain letters and digits",
        )
    if _SECRET.fullmatch(text):
        raise AddressError(
            "this has the form of a private key or of a transaction id (not repeated here)",
            field="address",
            mend="give the address; if it was a private key, treat it as exposed",
        )
    if chain == BITCOIN:
        key = bitcoin.script_of(text, network)
        return ParsedAddress(chain, bitcoin.display(key, network), key)
    key, canonical = ethereum.parse(text)
    if wallet and ethereum.is_reserved(key):
        raise AddressError(
            "nobody holds the key of this address: it is the zero address or a precompile",
            field="address",
            value=canonical,
            mend="give the address that holds the coins",
        )
    return ParsedAddress(chain, canonical, key)
