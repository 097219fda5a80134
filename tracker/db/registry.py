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

    What we believe of it is closed, never changed: `closed_at` ends what held from `recorded_at`.
    A wallet that is only described anew keeps its place in the ledger: `tenure_id` is the row with
    which its watching began (None: this one). `active_from_height` is the first block scanned with
    it. Its opening, what it held at block `opening_height`, is unknown until `opening_known`;
    `opening_note` says why, where it cannot be had. `history_from` is the height from which its
    movements are complete.
    """

    __tablename__ = "wallet"
    __table_args__ = (
        Index(
            "wallet_open", "chain", "key", unique=True, postgresql_where=text("closed_at is null")
        ),
        Index("wallet_entity", "entity_id"),
        Index(
            "wallet_unopened",
            "chain",
            postgresql_where=text("closed_at is null and not opening_known"),
        ),
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
    tenure_id: int | None = Field(default=None, foreign_key="wallet.id")
    opening_known: bool = False
    opening_height: int | None = None
    opening_hash: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    opening_time: datetime | None = Field(default=None, sa_column=Column(UtcTime))
    opening_note: str | None = None
    history_from: int | None = None
    descriptor_id: int | None = Field(default=None, foreign_key="descriptor.id")
    branch: int | None = None
    child_index: int | None = None
    recorded_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    closed_at: datetime | None = Field(default=None, sa_column=Column(UtcTime))


class Descriptor(SQLModel, table=True):
    """An output descriptor or extended public key whose addresses are a holder's wallets.

    `text` shows every address that it ever had: it is never logged. `fingerprint` names it safely.
    """

    __tablename__ = "descriptor"
    __table_args__ = (
        Index(
            "descriptor_open",
            "fingerprint",
            unique=True,
            postgresql_where=text("closed_at is null"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    entity_id: int = Field(foreign_key="entity.id", index=True)
    chain: str = "bitcoin"
    text: str
    fingerprint: str
    gap_limit: int = 20
    role: str = "treasury"
    tier: str
    source: str | None = None
    note: str | None = None
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
