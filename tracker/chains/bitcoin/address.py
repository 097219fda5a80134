"""Address to script and back, for every standard form on every network.

Base58Check: P2PKH, P2SH. Bech32 (BIP 173): P2WPKH, P2WSH. Bech32m (BIP 350): P2TR and later witness
versions. Scripts without an address (P2PK, bare multisig, OP_RETURN) are written `script:HEX`,
and that form is read too, so that any output can be watched; it belongs to no network.
"""

from __future__ import annotations

from embit import base58, bech32

from tracker.chains.bitcoin.network import NETWORKS, Network, network_named
from tracker.errors import AddressError

SCRIPT_PREFIX = "script:"
MAX_SCRIPT_BYTES = 10_000  # consensus: a longer script can never be spent
_MAX_ADDRESS_CHARS = 90  # BIP 173; base58 forms are shorter
_PRIVATE_KEYS = (b"\x80", b"\xef")  # base58 versions of private keys (WIF)
_OP_0, _OP_1, _OP_16 = 0x00, 0x51, 0x60


def script_of(address: str, network: str) -> bytes:
    """The scriptPubKey that `address` stands for on `network`.

    Raises `AddressError` for a bad checksum or form, naming the network that the address does
    belong to where that can be told, and `ConfigError` for an unknown network.
    """
    wanted = network_named(network)
    text = address.strip()
    if text.lower().startswith(SCRIPT_PREFIX):
        return _raw_script(text)
    if not 0 < len(text) <= _MAX_ADDRESS_CHARS or not text.isascii() or not text.isalnum():
        raise _bad("not a Bitcoin address", address)
    hrp = text.lower().rpartition("1")[0]
    homes = [net for net in NETWORKS.values() if net.hrp == hrp]
    # A mixed-case text is never segwit, so that base58 has to explain it.
    if homes and text in (text.lower(), text.upper()):
        script = _segwit_script(text, hrp)
    else:
        version, payload = _base58(text)
        homes = [net for net in NETWORKS.values() if version in (net.p2pkh, net.p2sh)]
        script = _legacy_script(version, payload, wanted if wanted in homes else homes[0])
    if wanted not in homes:
        names = " or ".join(net.name for net in homes)
        raise AddressError(
            f"the address belongs to {names}, not to {network}", field="address", value=address,
            mend=f"give an address of {network}, or set the network to {names}",
        )
    return script


def address_of(script: bytes, network: str) -> str | None:
    """The address of `script` on `network`; None where the script has none (P2PK, for one)."""
    net = network_named(network)
    size = len(script)
    if size == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return str(base58.encode_check(bytes([net.p2pkh]) + script[3:23]))
    if size == 23 and script[:2] == b"\xa9\x14" and script[22] == 0x87:
        return str(base58.encode_check(bytes([net.p2sh]) + script[2:22]))
    if not 4 <= size <= 42 or script[1] != size - 2:
        return None
    version = script[0]
    if version == _OP_0:
        if size not in (22, 34):
            return None
        return str(bech32.encode(net.hrp, 0, script[2:]))
    if _OP_1 <= version <= _OP_16:
        return str(bech32.encode(net.hrp, version - _OP_1 + 1, script[2:]))
    return None


def display(script: bytes, network: str) -> str:
    """The address of `script`, or `script:HEX` where it has none: what `script_of` reads back."""
    return address_of(script, network) or SCRIPT_PREFIX + script.hex()


def _raw_script(text: str) -> bytes:
    try:
        script = bytes.fromhex(text[len(SCRIPT_PREFIX) :])
    except ValueError:
        raise _bad("not the hex of a script", text) from None
    if not 0 < len(script) <= MAX_SCRIPT_BYTES:
        raise _bad(f"a script has 1 to {MAX_SCRIPT_BYTES} bytes", text)
    return script


def _segwit_script(text: str, hrp: str) -> bytes:
    version, program = bech32.decode(hrp, text)
    if version is None:
        raise _bad("bad checksum, version or length of a segwit address", text)
    opcode = _OP_0 if version == 0 else _OP_1 + version - 1
    return bytes([opcode, len(program), *program])


def _base58(text: str) -> tuple[int, bytes]:
    try:
        data = base58.decode_check(text)
    except ValueError:
        raise _bad("bad checksum or character", text) from None
    if data[:1] in _PRIVATE_KEYS and len(data) in (33, 34):
        raise AddressError(  # the value stays out of the error: it is a secret
            "this is a private key, not an address", field="address",
            mend="give the address; never give a private key to a watching tool",
        )
    known = {prefix for net in NETWORKS.values() for prefix in (net.p2pkh, net.p2sh)}
    if len(data) != 21 or data[0] not in known:
        raise _bad("not an address of any Bitcoin network", text)
    return data[0], data[1:]


def _legacy_script(version: int, payload: bytes, network: Network) -> bytes:
    if version == network.p2pkh:
        return b"\x76\xa9\x14" + payload + b"\x88\xac"
    return b"\xa9\x14" + payload + b"\x87"


def _bad(reason: str, address: str) -> AddressError:
    return AddressError(
        reason, field="address", value=address, mend="copy the address again, whole"
    )
