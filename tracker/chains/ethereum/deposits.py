"""Deposits to the beacon chain, as the deposit contract's `DepositEvent` logs state them.

The event is `(bytes pubkey, bytes withdrawal_credentials, bytes amount, bytes signature, bytes
index)`; the contract is immutable and each part has one length, so every log has one layout.
Amount and index are little-endian, the amount in gwei (consensus specifications,
`solidity_deposit_contract`). Credentials that begin with 0x01 or 0x02 end with the address that is
paid (`ETH1_ADDRESS_WITHDRAWAL_PREFIX`, and EIP-7251's `COMPOUNDING_WITHDRAWAL_PREFIX`); those that
begin with 0x00 are the hash of a key and name nobody. A deposit that tops up a validator may state
any credentials: the beacon chain keeps those of the first one.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_hash.auto import keccak

from tracker.chains.ethereum.reading import malformed
from tracker.chains.ethereum.records import Log

WEI_PER_GWEI = 10**9
DEPOSIT_EVENT = "0x" + keccak(b"DepositEvent(bytes,bytes,bytes,bytes,bytes)").hex()
_SIZES = (48, 32, 8, 96, 8)
_PAYABLE = (1, 2)


@dataclass(frozen=True, slots=True)
class StakeDeposit:
    """One deposit: `index` counts all deposits ever, `amount` is wei."""

    pubkey: bytes
    credentials: bytes
    amount: int
    index: int

    @property
    def owner(self) -> bytes | None:
        """The address that the credentials name, None for those of a key (0x00)."""
        return self.credentials[12:] if self.credentials[0] in _PAYABLE else None


def _layout() -> tuple[int, tuple[tuple[int, str], ...], tuple[slice, ...]]:
    """Size of the data, the words that never differ with their place, and where each part is."""
    words, parts, at = [], [], 32 * len(_SIZES)
    for number, size in enumerate(_SIZES):
        words += [(32 * number, f"{at:064x}"), (at, f"{size:064x}")]
        parts.append(slice(at + 32, at + 32 + size))
        at += 32 + -(-size // 32) * 32
    return at, tuple(words), tuple(parts)


_SIZE, _FIXED, _PARTS = _layout()
_TEXT_SIZE = 2 + 2 * _SIZE
_OWNER = slice(2 + 2 * _PARTS[1].start, 2 + 2 * _PARTS[1].stop)


def owner_text(log: Log) -> str | None:
    """The 40 digits of the address that a `DepositEvent` names, unchecked; None for a key."""
    credentials = log.data[_OWNER]
    return credentials[24:] if credentials[:2] in ("01", "02") else None


def stake_deposit(log: Log) -> StakeDeposit:
    """The deposit that `log` states; raises `ReplyError` where its data has another layout."""
    text = log.data
    if len(text) != _TEXT_SIZE or any(
        text[2 + 2 * at : 2 + 2 * at + 64] != word for at, word in _FIXED
    ):
        raise malformed(f"log {log.log_index}.data", text)
    try:
        data = bytes.fromhex(text[2:])
    except ValueError:
        raise malformed(f"log {log.log_index}.data", text) from None
    pubkey, credentials, amount, _, index = (data[part] for part in _PARTS)
    return StakeDeposit(
        pubkey, credentials, int.from_bytes(amount, "little") * WEI_PER_GWEI,
        int.from_bytes(index, "little"),
    )
