"""Tables of the registry: who is followed, which addresses are theirs, which labels are known."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from tracker.db.types import UtcTime


class Entity(SQLModel, table=True):
    """A holder or a venue. `owner` says who wrote the row: `bundled` or `operator`."""

    __tablename__ = "entity"

    id: int | None = Field(default=None, primary_key=True)
    slug: str = Field(unique=True)
    name: str
    kind: str
    role: str
    treasury_class: str | None = None
    country: str | None = None
    ticker: str | None = None
    exchange_mic: str | None = None
    currency: str | None = None
    cik: str | None = None
    website: str | None = None
    source: str | None = None
    note: str | None = None
    enabled: bool = True
    owner: str = "operator"
    rules: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default="{}")
    )
    recorded_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))


class LabelPack(SQLModel, table=True):
    """A set of labels imported, exported and removed as one."""

    __tablename__ = "label_pack"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    title: str
    creator: str | None = None
    licence: str | None = None
    redistributable: bool = False
    source: str | None = None
    recorded_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))


class Wallet(SQLModel, table=True):
    """An address of a holder. `key` is the scriptPubKey (Bitcoin) or the 20 address bytes.

    A row is closed, never changed: `closed_at` ends what we believed from `recorded_at` on.
    `active_from_height` is the first block scanned with it (its opening is unknown until
    bootstrapped: `opening_known`).
    """

    __tablename__ = "wallet"
    __table_args__ = (
        Index(
            "wallet_open", "chain", "key", unique=True, postgresql_where=text("closed_at is null")
        ),
        Index("wallet_entity", "entity_id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    entity_id: int = Field(foreign_key="entity.id")
    chain: str
    address: str
    key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    role: str
    tier: str
    source: str | None = None
    note: str | None = None
    pack_id: int | None = Field(default=None, foreign_key="label_pack.id")
    owner: str = "operator"
    valid_from: datetime | None = Field(default=None, sa_column=Column(UtcTime))
    valid_to: datetime | None = Field(default=None, sa_column=Column(UtcTime))
    active_from_height: int | None = None
    opening_known: bool = False
    recorded_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    closed_at: datetime | None = Field(default=None, sa_column=Column(UtcTime))


class Label(SQLModel, table=True):
    """What an address that is nobody's tracked wallet is known as: a venue, a bridge, a pool."""

    __tablename__ = "label"
    __table_args__ = (
        Index("label_open", "chain", "key", postgresql_where=text("closed_at is null")),
        Index("label_pack_rows", "pack_id"),
        Index(
            "label_one_a_pack",
            "pack_id",
            "chain",
            "key",
            "category",
            "name",
            unique=True,
            postgresql_where=text("closed_at is null"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    chain: str
    address: str
    key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    name: str
    category: str
    tier: str
    entity_id: int | None = Field(default=None, foreign_key="entity.id")
    pack_id: int = Field(foreign_key="label_pack.id")
    vendor: bool = False
    source: str | None = None
    dated: datetime | None = Field(default=None, sa_column=Column(UtcTime))
    recorded_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    closed_at: datetime | None = Field(default=None, sa_column=Column(UtcTime))


class WatchSet(SQLModel, table=True):
    """One row a chain: its version moves in every transaction that changes what is watched."""

    __tablename__ = "watch_set"
    chain: str = Field(primary_key=True)
    version: int = 0
