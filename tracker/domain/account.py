"""Movements on an account chain: every change of an address's balance that a block records. Pure.

Amounts are signed base units (wei, token units). Addresses are their 20 bytes, transaction hashes
32 bytes in display order; what has no transaction (a withdrawal, a probe) has the empty hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AccountKind(StrEnum):
    """What made a balance change; the names of the public contract."""

    VALUE = "value"
    FEE = "fee"
    FEE_RECIPIENT = "fee_recipient"
    WITHDRAWAL = "withdrawal"
    INTERNAL = "internal"
    ERC20_TRANSFER = "erc20_transfer"
    WRAP = "wrap"
    UNWRAP = "unwrap"
    STAKE_DEPOSIT = "stake_deposit"
    RESIDUAL = "residual"


class Bucket(StrEnum):
    """Where an asset is held (design section 2)."""

    LIQUID = "liquid"
    PENDING_DEPOSIT = "pending_deposit"
    STAKED = "staked"
    EXITING = "exiting"
    CLAIM = "claim"
    LIQUID_STAKED = "liquid_staked"
    RESTAKED = "restaked"
    LENT = "lent"
    PLEDGED = "pledged"
    BRIDGED = "bridged"
    DERECOGNISED = "derecognised"


@dataclass(frozen=True, slots=True)
class AccountMove:
    """One change of one address's balance of one asset in one bucket.

    `ref` is the place in the block that says so: `tx`, `fee`, `log:12`, `trace:0.1`,
    `withdrawal:123`, `probe`. `other` is the address on the other side, None where there is none
    (a burnt fee, a withdrawal from the consensus layer).
    """

    tx: bytes
    ref: str
    kind: AccountKind
    key: bytes
    asset: str
    amount: int
    other: bytes | None = None
    bucket: Bucket = Bucket.LIQUID
