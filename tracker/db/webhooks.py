"""Tables of webhook delivery: endpoints, their secrets, deliveries and every attempt."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from tracker.db.types import UtcTime


def _names() -> Column[list[str]]:
    return Column(JSONB, nullable=False, server_default="[]")


class Endpoint(SQLModel, table=True):
    """A receiver and what it subscribed to. Empty lists mean everything."""

    __tablename__ = "endpoint"

    id: str = Field(primary_key=True)
    url: str
    description: str = ""
    types: list[str] = Field(default_factory=list, sa_column=_names())
    entities: list[str] = Field(default_factory=list, sa_column=_names())
    cohorts: list[str] = Field(default_factory=list, sa_column=_names())
    assets: list[str] = Field(default_factory=list, sa_column=_names())
    min_severity: str = "info"
    min_tier: str | None = None
    allow_hosts: list[str] = Field(default_factory=list, sa_column=_names())
    state: str = "enabled"
    disabled_reason: str | None = None
    next_sequence: int = Field(default=1, sa_column=Column(BigInteger, nullable=False))
    failing_since: datetime | None = Field(default=None, sa_column=Column(UtcTime))
    created_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    deleted_at: datetime | None = Field(default=None, sa_column=Column(UtcTime))


class EndpointSecret(SQLModel, table=True):
    """A signing secret; two may be valid during a rotation."""

    __tablename__ = "endpoint_secret"

    id: int | None = Field(default=None, primary_key=True)
    endpoint_id: str = Field(foreign_key="endpoint.id", index=True)
    secret: str
    created_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    expires_at: datetime | None = Field(default=None, sa_column=Column(UtcTime))


class Delivery(SQLModel, table=True):
    """One event owed to one endpoint: `pending`, `succeeded`, `exhausted` or `skipped`.

    Claimed by pushing `leased_until` into the future (SKIP LOCKED); due again when it has passed.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("endpoint_id", "sequence"),
        Index(
            "delivery_due",
            "endpoint_id",
            "due_at",
            "sequence",
            postgresql_where=text("state = 'pending'"),
        ),
        Index("delivery_event", "event_id"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True)
    )
    endpoint_id: str = Field(foreign_key="endpoint.id")
    event_id: str = Field(foreign_key="event.id")
    sequence: int = Field(sa_column=Column(BigInteger, nullable=False))
    state: str = "pending"
    origin: str = "event"  # `event`, `replay` or `test`
    due_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    leased_until: datetime | None = Field(default=None, sa_column=Column(UtcTime))
    attempts: int = 0
    last_status: int | None = None
    last_error: str | None = None
    created_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    finished_at: datetime | None = Field(default=None, sa_column=Column(UtcTime))


class Attempt(SQLModel, table=True):
    """One POST: what came back, how long it took. The response is kept to 2 kB."""

    __tablename__ = "attempt"

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True)
    )
    delivery_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("delivery.id"), index=True, nullable=False)
    )
    number: int
    at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    duration_ms: int
    status: int | None = None
    error: str | None = None
    response: str | None = None
