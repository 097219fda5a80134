"""All SQL of protocol rates. They are rows of `price`: kind `rate`, subject the token, in ETH."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from tracker.chains.ethereum.rates import rated_as
from tracker.db.facts import Price
from tracker.facts.rates.judge import RateState

KIND = "rate"
UNIT = "ETH"


@dataclass(frozen=True, slots=True)
class Rate:
    """Ether for one whole `asset`, as `source` told it after the block of the time `at`."""

    asset: str
    value: Decimal
    at: datetime
    source: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a token's rate: the newest reading, and the newest one believed."""

    newest: Price | None = None
    believed: Price | None = None

    @property
    def refused(self) -> Price | None:
        """The newest reading where it was refused."""
        newest = self.newest
        return None if newest is None or newest.state == RateState.BELIEVED else newest


def rate_at(session: Session, asset: str, at: datetime, max_age: timedelta) -> Rate | None:
    """The newest rate of `asset` at or before `at`, to 12 decimals.

    None where none is known that is at most `max_age` old, where the newest reading was refused,
    and for assets that have no rate of their own (those at par).
    """
    row = session.exec(_readings(rated_as(asset), at).where(Price.at >= at - max_age)).first()
    if row is None or row.state != RateState.BELIEVED:
        return None
    return Rate(asset, row.value, row.at, row.source)


def standing(session: Session, assets: Collection[str]) -> dict[str, Standing]:
    """What is known of each token's rate."""
    return {
        asset: Standing(
            session.exec(_readings(asset)).first(),
            session.exec(_readings(asset).where(Price.state == RateState.BELIEVED)).first(),
        )
        for asset in assets
    }


def record_rate(session: Session, rate: Rate, state: RateState, now: datetime) -> None:
    """Store a reading; one of the same block stays as it was first read."""
    row = insert(Price).values(
        kind=KIND,
        subject=rate.asset,
        at=rate.at,
        value=rate.value,
        currency=UNIT,
        basis_date=None,
        state=str(state),
        source=rate.source,
        recorded_at=now,
    )
    session.execute(
        row.on_conflict_do_nothing(index_elements=["kind", "subject", "at", "source"])
    )


def _readings(subject: str, at: datetime | None = None) -> SelectOfScalar[Price]:
    query = select(Price).where(Price.kind == KIND, Price.subject == subject)
    if at is not None:
        query = query.where(Price.at <= at)
    return query.order_by(col(Price.at).desc(), col(Price.recorded_at).desc()).limit(1)
