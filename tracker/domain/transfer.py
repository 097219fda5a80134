"""Transfers: the net effect of one transaction on one entity, and who is on the other side."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tracker.domain.entity import Kind, Tier


@dataclass(frozen=True, slots=True)
class Label:
    """What one address is known as; the best label where several are known."""

    name: str
    category: str
    tier: Tier
    entity_slug: str | None = None


@dataclass(frozen=True, slots=True)
class Party:
    """One address on the other side of a transaction.

    `amount` in base units: what it received (outflow) or put in (inflow); None where a sender's
    amount is not known. `key` is its scriptPubKey or address bytes; None where not revealed.
    """

    key: bytes | None
    address: str | None
    amount: int | None
    index: int | None = None  # of the output that paid it
    label: Label | None = None
    holder: str | None = None  # slug, when the address is a tracked wallet of another holder


@dataclass(frozen=True, slots=True)
class Owner:
    """A watched address: whose it is, in which role, and how we know."""

    wallet_id: int
    entity_id: int
    entity_slug: str
    entity_kind: Kind
    treasury_class: str | None
    role: str
    tier: Tier


@dataclass(frozen=True, slots=True)
class NetTransfer:
    """The net effect of one transaction on one entity and asset (base units, gross >= 0).

    `fee` is the network fee that the entity paid (0 on inflows, and where other people's inputs
    share the transaction). `parties` are receivers on an outflow, senders on an inflow. `owners`
    are the entity's own addresses in it.
    """

    chain: str
    tx: bytes
    asset: str
    height: int
    time: datetime
    gross_in: int
    gross_out: int
    fee: int
    coinbase: bool
    parties: tuple[Party, ...]
    owners: tuple[Owner, ...]

    @property
    def net(self) -> int:
        """Signed change of the entity's holdings, fee included."""
        return self.gross_in - self.gross_out

    @property
    def owner(self) -> Owner:
        """The entity's address with the weakest label: what the transfer is known by."""
        return max(self.owners, key=lambda owner: owner.tier.rank)

    def part_of_outflow(self, parties: Iterable[Party]) -> int:
        """What of the entity's own outflow went to `parties`, in base units, the fee left out.

        All of what they received where only the entity's coins were spent. Where other people's
        inputs share the transaction nobody can say whose coin went where: each has its proportion.
        """
        left = -self.net - self.fee
        paid = sum(party.amount or 0 for party in self.parties)
        theirs = sum(party.amount or 0 for party in parties)
        return left * theirs // paid if left > 0 and paid else 0

    @property
    def id(self) -> str:
        """Stable over re-mining: derived from chain, transaction, entity and asset."""
        return transfer_id(self.chain, self.tx, self.owners[0].entity_slug, self.asset)


def transfer_id(chain: str, tx: bytes, entity_slug: str, asset: str) -> str:
    """The id of the transfer that `tx` makes for an entity."""
    text = "\x1f".join((chain, tx.hex(), entity_slug, asset))
    return "tr_" + hashlib.sha256(text.encode()).hexdigest()[:24]
