"""Tables of operations: bearer keys, states of sources, heartbeats of queues."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from tracker.db.types import UtcTime


class ApiKey(SQLModel, table=True):
    """A bearer key, kept as its SHA-256. Scopes: `read`, `write`."""

    __tablename__ = "api_key"

    id: int | None = Field(default=None, primary_key=True)
    name: str
    prefix: str
    digest: str = Field(unique=True)
    scopes: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    created_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    revoked_at: datetime | None = Field(default=None, sa_column=Column(UtcTime))


class SourceStatus(SQLModel, table=True):
    """The last known state of one source, as `/v1/sources` shows it."""

    __tablename__ = "source_status"

    name: str = Field(primary_key=True)
    kind: str
    state: str
    height: int | None = None
    latency_ms: int | None = None
    last_ok: datetime | None = Field(default=None, sa_column=Column(UtcTime))
    last_error: str | None = None
    next_try: datetime | None = Field(default=None, sa_column=Column(UtcTime))
    updated_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))


class Heartbeat(SQLModel, table=True):
    """When a queue last ran its canary task."""

    __tablename__ = "heartbeat"

    queue: str = Field(primary_key=True)
    beat_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))


class SyncMark(SQLModel, table=True):
    """What was synchronised last, by its digest: an unchanged bundle is not read again."""

    __tablename__ = "sync_mark"

    name: str = Field(primary_key=True)
    digest: str
    at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
