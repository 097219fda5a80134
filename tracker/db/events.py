"""The outbox: one row an event, written with what it tells of, numbered when it is published."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, Index, LargeBinary, text
from sqlmodel import Field, SQLModel

from tracker.db.types import UtcTime


class Event(SQLModel, table=True):
    """An event with its one body. `cursor` is null until published, then gapless.

    `id` is derived from (alert, revision), so that writing it twice is impossible.
    """

    __tablename__ = "event"
    __table_args__ = (
        Index("event_alert", "alert_id", "seq"),
        Index("event_unpublished", "seq", postgresql_where=text("cursor is null")),
    )

    seq: int | None = Field(
        default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True)
    )
    id: str = Field(unique=True)
    type: str
    alert_id: str | None = Field(default=None, foreign_key="alert.id")
    entity_slug: str | None = None
    asset: str | None = None
    severity: str
    tier: str | None = None
    stream: str = "alerts"  # `alerts`, or `operations`, which nobody gets unless asked for
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    cursor: int | None = Field(default=None, sa_column=Column(BigInteger, unique=True))
    published_at: datetime | None = Field(default=None, sa_column=Column(UtcTime))
