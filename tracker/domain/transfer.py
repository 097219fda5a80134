"""Netting: the movements of one transaction become one transfer an entity and asset."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from tracker.domain.entity import Tier


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
    outpoint: bytes | None = None
    label: Label | None = None
    holder: str | None = None  # slug, when the address is a tracked wallet of another holder


@dataclass(frozen=True, slots=True)
class NetTransfer:
    """The net effect of one transaction on one entity and asset (base units, gross >= 0).

    `net` = gross_in - gross_out. `fee` is the network fee that the entity paid (0 on inflows, and
    where other people's inputs share the transaction). `parties` are receivers on an outflow,
    senders on an inflow. `tiers` are those of the entity's own wallets in it.
    """

    chain: str
    tx: bytes
    entity_id: int
    entity_slug: str
    asset: str
    height: int
    time: datetime
    gross_in: int
    gross_out: int
    fee: int
    coinbase: bool
    parties: tuple[Party, ...]
    tiers: tuple[Tier, ...]
    roles: tuple[str, ...]

    @property
    def net(self) -> int:
        """Signed change of the entity's holdings, fee included."""
        return self.gross_in - self.gross_out

    @property
    def id(self) -> str:
        """Stable over re-mining: derived from chain, transaction, entity and asset."""
        return transfer_id(self.chain, self.tx, self.entity_slug, self.asset)


def transfer_id(chain: str, tx: bytes, entity_slug: str, asset: str) -> str:
    """The id of the transfer that `tx` makes for an entity."""
    text = "\x1f".join((chain, tx.hex(), entity_slug, asset))
    return "tr_" + hashlib.sha256(text.encode()).hexdigest()[:24]
