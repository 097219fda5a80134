"""Bitemporal facts: disclosures, capital, corporate actions and prices.

Four times: `as_of` (valid), `published_at` (when the filer said it; null if unknown),
`first_seen` (when we could have acted on it) and `recorded_at`/`closed_at` (what we believed when).
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Column, Index, Numeric, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from tracker.db.types import Amount, UtcTime


class Disclosure(SQLModel, table=True):
    """A fact reported by the entity. `amount` in base units of `asset`; money in `currency`."""

    __tablename__ = "disclosure"
    __table_args__ = (
        Index(
            "disclosure_open",
            "entity_id",
            "as_of",
            "asset",
            "kind",
            "measure",
            "source",
            unique=True,
            postgresql_where=text("closed_at is null"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    entity_id: int = Field(foreign_key="entity.id")
    as_of: date
    asset: str
    kind: str
    amount: int | None = Field(default=None, sa_column=Column(Amount))
    measure: str = "total"
    period_start: date | None = None
    period_end: date | None = None
    cost: Decimal | None = Field(default=None, sa_column=Column(Numeric(38, 8)))
    average_price: Decimal | None = Field(default=None, sa_column=Column(Numeric(38, 8)))
    currency: str = "USD"
    evidence: str
    form: str | None = None
    source: str
    quote: str | None = None  # the filing's own words
    note: str | None = None  # what the transcriber noted
    owner: str = "bundled"
    published_at: datetime | None = Field(default=None, sa_column=Column(UtcTime))
    first_seen: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    recorded_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    closed_at: datetime | None = Field(default=None, sa_column=Column(UtcTime))


class Capital(SQLModel, table=True):
    """One field of a capital structure (share count, or money in `currency`) as of a date.

    `basis_date`: the split basis on which a share count stands. `complete`: false where the source
    counts only some share classes.
    """

    __tablename__ = "capital"
    __table_args__ = (
        Index(
            "capital_open",
            "entity_id",
            "as_of",
            "field",
            "source",
            unique=True,
            postgresql_where=text("closed_at is null"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    entity_id: int = Field(foreign_key="entity.id")
    as_of: date
    field: str
    value: Decimal = Field(sa_column=Column(Numeric(38, 4), nullable=False))
    currency: str | None = None
    basis_date: date | None = None
    complete: bool = True
    source: str
    note: str | None = None
    owner: str = "bundled"
    published_at: datetime | None = Field(default=None, sa_column=Column(UtcTime))
    recorded_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    closed_at: datetime | None = Field(default=None, sa_column=Column(UtcTime))


class CorporateAction(SQLModel, table=True):
    """A split, reverse split or ADS ratio change: `ratio` new shares for one old, as `10/1`."""

    __tablename__ = "corporate_action"
    __table_args__ = (UniqueConstraint("entity_id", "effective", "kind"),)

    id: int | None = Field(default=None, primary_key=True)
    entity_id: int = Field(foreign_key="entity.id")
    effective: date
    kind: str
    numerator: int
    denominator: int
    source: str
    note: str | None = None
    owner: str = "bundled"
    recorded_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))


class Price(SQLModel, table=True):
    """One price of a coin (`subject` = asset symbol), a share (entity slug) or a currency.

    `at` is the instant of the price, `basis_date` the split basis of a share price, `kind`
    `close` (bundled daily series), `live` (a poll), `fx` (USD for one unit of `subject`) or `rate`
    (coins for one token by its protocol; its `state` may be `refused`).
    """

    __tablename__ = "price"
    __table_args__ = (
        UniqueConstraint("kind", "subject", "at", "source"),
        Index("price_latest", "kind", "subject", "at"),
    )

    id: int | None = Field(default=None, primary_key=True)
    kind: str
    subject: str
    at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    value: Decimal = Field(sa_column=Column(Numeric(38, 12), nullable=False))
    currency: str
    basis_date: date | None = None
    state: str
    source: str
    recorded_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
