"""What one scanned block means, on either chain: effects on the ledger, and sales to be judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from sqlmodel import Session

from tracker.db.chain import Transfer
from tracker.detection.chain_sales import SeenSale
from tracker.domain.asset import stands_for
from tracker.domain.entity import Tier
from tracker.domain.intent import Classification, Intent
from tracker.domain.transfer import Label
from tracker.domain.units import to_quantity
from tracker.facts import repository as facts
from tracker.facts.rates import repository as rates
from tracker.ledger.effects import BlockEffects

CLOSE_MAX_AGE = timedelta(days=3)
LIVE_MAX_AGE = timedelta(hours=2)
# Rates are read hourly and grow by a hundredth of a percent a day.
RATE_MAX_AGE = timedelta(days=3)


@dataclass(slots=True)
class Prices:
    """USD prices of one block's time, each read once: a live quote of that hour, else a close."""

    session: Session
    at: datetime
    _known: dict[str, tuple[Decimal | None, datetime | None]] = field(default_factory=dict)

    def of(self, asset: str) -> tuple[Decimal | None, datetime | None]:
        """USD for one whole unit and its as-of; None where it is unknown, for debts and dollars.

        What stands for a coin one for one has the coin's price. What has a protocol rate is worth
        rate times price, as of the older of the two; without a rate its price is unknown.
        """
        if asset not in self._known:
            self._known[asset] = self._read(asset)
        return self._known[asset]

    def _read(self, asset: str) -> tuple[Decimal | None, datetime | None]:
        stands = stands_for(asset)
        if stands.debt or stands.coin == "USD":
            return None, None
        if asset == stands.coin:
            return self._coin(asset)
        price, as_of = self.of(stands.coin)
        if stands.at_par or price is None or as_of is None:
            return price, as_of
        rate = rates.rate_at(self.session, asset, self.at, RATE_MAX_AGE)
        if rate is None:
            return None, None
        return price * rate.value, min(as_of, rate.at)

    def _coin(self, coin: str) -> tuple[Decimal | None, datetime | None]:
        found = facts.price_at(
            self.session, "live", coin, self.at, LIVE_MAX_AGE
        ) or facts.price_at(self.session, "close", coin, self.at, CLOSE_MAX_AGE)
        return (None, None) if found is None else (found.value, found.at)

    def value(self, asset: str, amount: int) -> Decimal | None:
        """USD value of base units, to the cent; None without a price."""
        price, _ = self.of(asset)
        if price is None:
            return None
        return (to_quantity(amount, asset) * price).quantize(Decimal("0.01"))


@dataclass(frozen=True, slots=True)
class Sweep:
    """Followed coins that a transaction of this block took on to a labelled venue."""

    tx: bytes
    origin: Transfer
    belief: Classification
    amount: int
    venue: Label
    venue_key: bytes
    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True)
class BlockReading:
    """A block's effects on the ledger, and the sweeps that detection has to judge."""

    effects: BlockEffects
    sweeps: tuple[Sweep, ...]
    prices: Prices

    def sales(self) -> list[SeenSale]:
        """What detection has to judge: direct sales, then outflows that were swept to a venue."""
        block = self.effects.block
        direct = [
            SeenSale(
                transfer_id=item.transfer.id,
                entity_id=item.transfer.owners[0].entity_id,
                asset=item.transfer.asset,
                belief=item.belief,
                amount=item.sold,
                value_usd=self.prices.value(item.transfer.asset, item.sold),
                tiers=item.tiers,
                venue=", ".join(item.venue_names),
                venue_key=item.venues[0].key or b"",
                tx=item.transfer.tx,
                height=block.height,
                block_hash=block.hash,
                time=block.time,
            )
            for item in self.effects.transfers
            if item.belief.intent is Intent.SALE
        ]
        return direct + [
            SeenSale(
                transfer_id=sweep.origin.id,
                entity_id=sweep.origin.entity_id,
                asset=sweep.origin.asset,
                belief=sweep.belief,
                amount=sweep.amount,
                value_usd=self.prices.value(sweep.origin.asset, sweep.amount),
                tiers=(*sweep.tiers, sweep.venue.tier),
                venue=sweep.venue.name,
                venue_key=sweep.venue_key,
                tx=sweep.tx,
                height=block.height,
                block_hash=block.hash,
                time=block.time,
                origin=sweep.origin,
            )
            for sweep in self.sweeps
        ]
