"""What one block does to the ledger, as plain values ready to be written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tracker.domain.chain import BlockRef
from tracker.domain.entity import Tier
from tracker.domain.intent import SALE_VENUES, Classification
from tracker.domain.transfer import NetTransfer, Party


@dataclass(frozen=True, slots=True)
class LedgerMovement:
    """One movement with its owner: `amount` signed base units, `tx` in display order.

    `wallet_id` is the tenure of the address, `cause` the kind of change (`db.chain.Movement`).
    """

    tx: bytes
    ref: str
    key: bytes
    asset: str
    kind: str
    amount: int
    entity_id: int
    wallet_id: int
    bucket: str = "liquid"
    cause: str = "movement"


@dataclass(frozen=True, slots=True)
class MadeCoin:
    """An output of a watched script that the block made."""

    outpoint: bytes
    key: bytes
    amount: int
    coinbase: bool


@dataclass(frozen=True, slots=True)
class FollowedCoin:
    """An output that left a holder unexplained, to be watched for one hop."""

    outpoint: bytes
    key: bytes
    amount: int
    transfer_id: str
    entity_id: int
    expires_height: int


@dataclass(frozen=True, slots=True)
class ClassifiedTransfer:
    """A transfer with what it is believed to be and what it was worth."""

    transfer: NetTransfer
    belief: Classification
    value_usd: Decimal | None
    price_as_of: datetime | None

    @property
    def venues(self) -> list[Party]:
        """The other sides that are places to sell at."""
        return [
            party
            for party in self.transfer.parties
            if party.label is not None and party.label.category in SALE_VENUES
        ]

    @property
    def sold(self) -> int:
        """What of the holder's own coins went there, in base units."""
        return self.transfer.part_of_outflow(self.venues)

    @property
    def venue_names(self) -> list[str]:
        """Their names, each once, sorted."""
        return sorted({party.label.name for party in self.venues if party.label is not None})

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """How the addresses at both ends are known: ours by the weakest, theirs by the best."""
        labels = [party.label for party in self.venues if party.label is not None]
        best = min((label.tier for label in labels), key=lambda tier: tier.rank, default=None)
        return (self.transfer.owner.tier, *(() if best is None else (best,)))


@dataclass(frozen=True, slots=True)
class BlockEffects:
    """Everything that one block changes."""

    block: BlockRef
    source: str
    watch_version: int
    movements: tuple[LedgerMovement, ...]
    transfers: tuple[ClassifiedTransfer, ...]
    # of a chain of coins
    bits: int | None = None
    made: tuple[MadeCoin, ...] = ()
    spent: tuple[bytes, ...] = ()
    followed: tuple[FollowedCoin, ...] = ()
    # of a chain of accounts: whether internal transfers were itemised
    traced: bool | None = None
