"""Who signed: the address that a signature over a digest belongs to (Yellow Paper, appendix F).

libsecp256k1 does the work, as the `embit` package brings it. Its pure-Python stand-in cannot
recover keys, so where the library does not load, senders stay believed, and the log says so.
"""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType

from eth_hash.auto import keccak

from tracker.log import get_logger

log = get_logger(__name__)


@lru_cache(maxsize=1)
def library() -> ModuleType | None:
    """The loaded binding; None where this machine has no fitting library."""
    try:
        from embit.util import ctypes_secp256k1
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        log.warning("senders_believed", why="libsecp256k1 does not load", error=str(error))
        return None
    if not hasattr(ctypes_secp256k1, "ecdsa_recover"):
        log.warning("senders_believed", why="libsecp256k1 comes without recovery")
        return None
    found: ModuleType = ctypes_secp256k1
    return found


def recover(digest: bytes, r: int, s: int, parity: int) -> bytes | None:
    """The 20-byte address whose key made the signature; None where there is no such key.

    Raises `RuntimeError` where `library` is None.
    """
    curve = library()
    if curve is None:
        raise RuntimeError("libsecp256k1 is not there: ask library() first")
    if parity not in (0, 1):
        return None
    try:
        compact = r.to_bytes(32) + s.to_bytes(32)
        signature = curve.ecdsa_recoverable_signature_parse_compact(compact, parity)
        key = curve.ec_pubkey_serialize(
            curve.ecdsa_recover(signature, digest), curve.EC_UNCOMPRESSED
        )
    except (ValueError, OverflowError):
        return None
    return keccak(key[1:])[12:]
