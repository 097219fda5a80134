"""Tables of alerts: one row an incident, one row a revision, one row a piece of ground."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, Index, LargeBinary, Numeric
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from tracker.db.types import Amount, UtcTime


class Alert(SQLModel, table=True):
    """A rule's finding about an entity.

    `id` is derived from (rule, entity, asset, first transaction or document). `status` is
    `open`, `suspended` (its ground was orphaned and may be mined again), `closed` or `retracted`.
    """

    __tablename__ = "alert"
    __table_args__ = (
        Index("alert_entity", "entity_id", "rule", "asset"),
        Index("alert_opened", "opened_at"),
    )

    id: str = Field(primary_key=True)
    rule: str
    entity_id: int = Field(foreign_key="entity.id")
    asset: str
    status: str
    revision: int
    state: str
    severity: str
    finality: str
    intent: str
    probability: Decimal = Field(sa_column=Column(Numeric(5, 4), nullable=False))
    amount: int | None = Field(default=None, sa_column=Column(Amount))
    share_of_disclosed: Decimal | None = Field(default=None, sa_column=Column(Numeric(20, 10)))
    value_usd: Decimal | None = Field(default=None, sa_column=Column(Numeric(38, 2)))
    evidence: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=Column(JSONB, nullable=False)
    )
    historical: bool = False
    detected_late: bool = False
    agree: int = 1
    asked: int = 1
    opened_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    updated_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    closed_at: datetime | None = Field(default=None, sa_column=Column(UtcTime))
    suspended_height: int | None = None
    acknowledged_at: datetime | None = Field(default=None, sa_column=Column(UtcTime))
    muted_until: datetime | None = Field(default=None, sa_column=Column(UtcTime))


class AlertGround(SQLModel, table=True):
    """What an alert stands on. `standing` is false once the ground was orphaned or withdrawn."""

    __tablename__ = "alert_ground"
    __table_args__ = (Index("alert_ground_block", "chain", "block_hash"),)

    alert_id: str = Field(primary_key=True, foreign_key="alert.id")
    ref: str = Field(primary_key=True)  # `transfer:<id>` or `disclosure:<document>#<as_of>`
    kind: str
    data: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    chain: str | None = None
    block_hash: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    height: int | None = None
    standing: bool = True


class AlertRevision(SQLModel, table=True):
    """What was said at one revision, and why it changed. `at` is the time of the ground."""

    __tablename__ = "alert_revision"

    alert_id: str = Field(primary_key=True, foreign_key="alert.id")
    revision: int = Field(primary_key=True)
    transition: str
    at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    state: str
    severity: str
    intent: str
    probability: Decimal = Field(sa_column=Column(Numeric(5, 4), nullable=False))
    amount: int | None = Field(default=None, sa_column=Column(Amount))
    why: str
    recorded_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
