"""Who spent: the scriptPubKey of a spent coin, derived from what its input reveals.

An input names the coin it spends, not that coin's script. For the forms below the script follows
from the unlocking data, because the block is valid and the data therefore hashes to the script:

- P2PKH: the public key in scriptSig.
- P2SH around a witness program: scriptSig is the one push of that program.
- P2SH multisig: the last push of scriptSig is the redeem script.
- P2WPKH: the public key in the witness (BIP 141).
- P2WSH: the last item of the witness is the script (BIP 141).

P2PK and bare multisig reveal only signatures, and P2TR (BIP 341) only a signature or a tweak of the
key: those give None, as does everything odd. A wrong sender is worse than an unknown one.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from embit.hashes import hash160

_OP_PUSHDATA1, _OP_PUSHDATA2 = 0x4C, 0x4D
_OP_1, _OP_16, _OP_CHECKMULTISIG = 0x51, 0x60, 0xAE
# BIP 341: the first byte of a control block, and of an annex. No script of a P2WSH coin can start
# with either: they are opcodes that fail.
_CONTROL_BLOCK_MIN, _ANNEX = 0xC0, 0x50


def sender_script(script_sig: bytes, witness: Sequence[bytes]) -> bytes | None:
    """The scriptPubKey of the coin that an input spends, or None where the input hides it."""
    if script_sig:
        return _from_script_sig(script_sig, has_witness=bool(witness))
    return _from_witness(witness) if witness else None


def _from_script_sig(script_sig: bytes, *, has_witness: bool) -> bytes | None:
    pushes = _pushes(script_sig)
    if not pushes:
        return None
    last = pushes[-1]
    if has_witness:
        program = last[:2] in (b"\x00\x14", b"\x00\x20") and len(last) == 2 + last[1]
        return _p2sh(last) if len(pushes) == 1 and program else None
    if len(pushes) == 2 and _is_signature(pushes[0]) and _is_public_key(last):
        return b"\x76\xa9\x14" + _hash160(last) + b"\x88\xac"
    multisig = (
        len(last) > 2 and last[-1] == _OP_CHECKMULTISIG and _OP_1 <= last[0] <= _OP_16
        and pushes[0] == b"" and all(_is_signature(push) for push in pushes[1:-1])
    )
    return _p2sh(last) if multisig else None


def _from_witness(witness: Sequence[bytes]) -> bytes | None:
    last = witness[-1]
    if len(witness) == 2 and len(last) == 33 and last[0] in (2, 3) and _is_signature(witness[0]):
        return b"\x00\x14" + _hash160(last)
    if len(witness) == 1 and len(last) in (64, 65):  # a key-path spend of P2TR
        return None
    control = len(last) >= 33 and len(last) % 32 == 1 and last[0] >= _CONTROL_BLOCK_MIN
    if control or not last or last[0] == _ANNEX:
        return None
    return b"\x00\x20" + sha256(last).digest()


def _p2sh(redeem: bytes) -> bytes:
    return b"\xa9\x14" + _hash160(redeem) + b"\x87"


def _hash160(data: bytes) -> bytes:
    return bytes(hash160(data))


def _is_public_key(data: bytes) -> bool:
    if len(data) == 33:
        return data[0] in (2, 3)
    return len(data) == 65 and data[0] == 4


def _is_signature(data: bytes) -> bool:
    # A DER signature and its hash type. Early blocks hold sloppy encodings, so only the frame
    # is looked at.
    return 9 <= len(data) <= 80 and data[0] == 0x30


def _pushes(script: bytes) -> list[bytes]:
    """The items that a push-only script pushes; empty where it does anything else or is cut."""
    items: list[bytes] = []
    pos, end = 0, len(script)
    while pos < end:
        opcode = script[pos]
        pos += 1
        if opcode < _OP_PUSHDATA1:
            size = opcode
        elif opcode in (_OP_PUSHDATA1, _OP_PUSHDATA2):
            width = 1 if opcode == _OP_PUSHDATA1 else 2
            size = int.from_bytes(script[pos : pos + width], "little")
            pos += width
        else:
            return []
        if pos + size > end:
            return []
        items.append(script[pos : pos + size])
        pos += size
    return items
