"""Extended public keys: one key from which a wallet's keys follow (BIP 32, SLIP-132).

An extended public key tells every address of its wallet, past and future. It opens nothing, but it
is private: errors and names show only its ends. Private keys are refused and never repeated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from embit import base58, ec
from embit.base import EmbitError
from embit.bip32 import HDKey

from tracker.chains.bitcoin.network import network_named
from tracker.errors import InputError

# What a SLIP-132 prefix says the keys are for; None for BIP 32's own, which says nothing.
Purpose = Literal["sh(wpkh)", "wpkh", "sh(wsh)", "wsh"] | None

FIELD = "descriptor"
HARDENED = 1 << 31
_PAYLOAD_BYTES = 78
_MAIN, _TEST = "mainnet", "test networks"
# Sources: BIP 32; SLIP-132 (https://github.com/satoshilabs/slips/blob/master/slip-0132.md).
_VERSIONS: dict[str, tuple[str, Purpose]] = {
    "0488b21e": (_MAIN, None), "043587cf": (_TEST, None),  # xpub, tpub
    "049d7cb2": (_MAIN, "sh(wpkh)"), "044a5262": (_TEST, "sh(wpkh)"),  # ypub, upub
    "04b24746": (_MAIN, "wpkh"), "045f1cf6": (_TEST, "wpkh"),  # zpub, vpub
    "0295b43f": (_MAIN, "sh(wsh)"), "024289ef": (_TEST, "sh(wsh)"),  # Ypub, Upub
    "02aa7ed3": (_MAIN, "wsh"), "02575483": (_TEST, "wsh"),  # Zpub, Vpub
}
_PUBLIC_VERSION = {_MAIN: bytes.fromhex("0488b21e"), _TEST: bytes.fromhex("043587cf")}
_PUBLIC = re.compile(r"[xyztuvYZUV]pub[1-9A-HJ-NP-Za-km-z]+\Z")
_PRIVATE = re.compile(
    r"[xyztuvYZUV]prv[1-9A-HJ-NP-Za-km-z]*\Z|[5KL9c][1-9A-HJ-NP-Za-km-z]{50,51}\Z"
)
_WIF_VERSIONS = (b"\x80", b"\xef")


@dataclass(frozen=True, slots=True)
class ExtendedKey:
    """A checked extended public key of the right network. `purpose` is what its prefix says."""

    key: HDKey = field(repr=False)
    purpose: Purpose

    @property
    def text(self) -> str:
        """The whole key in BIP 32's own form (xpub, tpub): to be stored, never to be shown."""
        return str(self.key.to_base58())

    @property
    def shown(self) -> str:
        """Enough of it to tell two keys apart."""
        return shortened(self.text)


def parse_extended_key(text: str, network: str) -> ExtendedKey:
    """The extended public key `text` of `network`.

    Raises `InputError` for a private key, another network, a bad checksum or a key that is none;
    `ConfigError` for an unknown network.
    """
    home = _MAIN if network_named(network).name == "mainnet" else _TEST
    refuse_private(text)
    try:
        payload = base58.decode_check(text)
    except ValueError:
        raise bad("an extended public key has a bad checksum or character", text) from None
    known = _VERSIONS.get(payload[:4].hex())
    if len(payload) != _PAYLOAD_BYTES or known is None:
        raise bad("not an extended public key", text)
    belongs, purpose = known
    if belongs != home:
        raise InputError(
            f"the extended key belongs to {belongs}, not to {network}", field=FIELD,
            value=shortened(text), mend=f"give a key of {network}, or set the network",
        )
    depth, fingerprint, child = payload[4], payload[5:9], int.from_bytes(payload[9:13], "big")
    if depth == 0 and (any(fingerprint) or child):
        raise bad("an extended key of depth 0 that names a parent (BIP 32)", text)
    try:
        point = public_key(payload[45:])
    except ValueError:
        raise bad("the extended key holds no point of the curve (BIP 32)", text) from None
    key = HDKey(
        point, payload[13:45], version=_PUBLIC_VERSION[home], depth=depth, fingerprint=fingerprint,
        child_number=child,
    )
    return ExtendedKey(key, purpose)


def public_key(raw: bytes) -> ec.PublicKey:
    """The public key in its SEC form, 33 or 65 bytes; raises `ValueError` for what is none."""
    if (len(raw), raw[:1]) not in ((33, b"\x02"), (33, b"\x03"), (65, b"\x04")):
        raise ValueError("not a public key")
    try:
        return ec.PublicKey.parse(raw)
    except EmbitError:
        raise ValueError("not a point of the curve") from None


def refuse_private(text: str) -> None:
    """Raise `InputError`, without the value, where `text` is or looks like a private key."""
    private = _PRIVATE.match(text) is not None
    if not private:
        try:
            payload = base58.decode_check(text)
        except ValueError:
            return
        private = (
            (payload[:1] in _WIF_VERSIONS and len(payload) in (33, 34))
            or (len(payload) == _PAYLOAD_BYTES and payload[45:46] == b"\x00")
        )
    if private:
        raise InputError(
            "this holds a private key (not repeated here)", field=FIELD,
            mend="give the public form, xpub…; treat the private key as exposed, and never give "
            "one to a watching tool",
        )


def shortened(text: str) -> str:
    """The ends of an extended public key; nothing of what may be something else."""
    return f"{text[:8]}…{text[-4:]}" if _PUBLIC.match(text) and len(text) > 40 else "(not shown)"


def bad(reason: str, text: str) -> InputError:
    """The error for a key that cannot be used."""
    return InputError(
        reason, field=FIELD, value=shortened(text), mend="copy the key again, whole"
    )
