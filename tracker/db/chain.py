"""Tables of the ledger: blocks, cursor, movements, unspent outputs, balances, transfers."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, Index, LargeBinary, Numeric, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from tracker.db.types import Amount, UtcTime


def _bytes(*, primary_key: bool = False, nullable: bool = False) -> Column[bytes]:
    return Column(LargeBinary, primary_key=primary_key, nullable=nullable)


class Block(SQLModel, table=True):
    """A block that was applied. Hashes are bytes in display order. Orphans stay, flagged."""

    __tablename__ = "block"
    __table_args__ = (
        Index(
            "block_canonical",
            "chain",
            "height",
            unique=True,
            postgresql_where=text("canonical"),
        ),
    )

    chain: str = Field(primary_key=True)
    hash: bytes = Field(sa_column=_bytes(primary_key=True))
    height: int
    parent: bytes = Field(sa_column=_bytes())
    time: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    canonical: bool = True
    source: str
    watch_version: int
    bits: int | None = None
    # Whether internal transfers were itemised; None on a chain that has none.
    traced: bool | None = None
    applied_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))


class Cursor(SQLModel, table=True):
    """Where a chain's scan stands; moved only by compare-and-swap on `hash`."""

    __tablename__ = "cursor"

    chain: str = Field(primary_key=True)
    height: int
    hash: bytes = Field(sa_column=_bytes())
    final_height: int = -1
    safe_height: int = -1
    # The highest block ever applied: `tip_advanced_at` moves only when it does.
    highest: int = -1
    halted: str | None = None
    tip_advanced_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))


class Movement(SQLModel, table=True):
    """One atomic change of one address's balance of one asset in one block (signed base units).

    `wallet_id` is the tenure: the first row of the wallet in whose time the address was watched.
    `cause` says which kind of change of shown holdings it is (design section 2): `movement`,
    `attribution` (an opening), `rate` (a rebase) or `measure`. `tx` is empty where none made it.
    """

    __tablename__ = "movement"
    __table_args__ = (
        Index("movement_wallet", "wallet_id", "asset", "height"),
        Index("movement_wallet_time", "wallet_id", "asset", "time"),
        Index("movement_block", "chain", "block_hash"),
        # The few that are looked for by what they are.
        Index(
            "movement_kind",
            "kind",
            "asset",
            "wallet_id",
            postgresql_where=text("kind in ('residual', 'stake_deposit', 'opening')"),
        ),
    )

    chain: str = Field(primary_key=True)
    block_hash: bytes = Field(sa_column=_bytes(primary_key=True))
    tx: bytes = Field(sa_column=_bytes(primary_key=True))
    ref: str = Field(primary_key=True)
    key: bytes = Field(sa_column=_bytes(primary_key=True))
    asset: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    bucket: str = Field(default="liquid", primary_key=True)
    wallet_id: int = Field(foreign_key="wallet.id", primary_key=True)
    cause: str = "movement"
    amount: int = Field(sa_column=Column(Amount, nullable=False))
    height: int
    time: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    entity_id: int = Field(foreign_key="entity.id")
    canonical: bool = True


class Utxo(SQLModel, table=True):
    """An output of a watched script. `outpoint`: 36 wire bytes (txid in internal order, vout)."""

    __tablename__ = "utxo"
    __table_args__ = (
        Index("utxo_unspent", "chain", postgresql_where=text("spent_hash is null")),
        Index("utxo_created", "chain", "created_hash"),
        Index("utxo_spent", "chain", "spent_hash"),
    )

    chain: str = Field(primary_key=True)
    outpoint: bytes = Field(sa_column=_bytes(primary_key=True))
    key: bytes = Field(sa_column=_bytes())
    amount: int = Field(sa_column=Column(Amount, nullable=False))
    coinbase: bool = False
    created_height: int
    created_hash: bytes = Field(sa_column=_bytes())
    spent_height: int | None = None
    spent_hash: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))


class FollowedOutpoint(SQLModel, table=True):
    """A coin that left a holder unexplained, watched until `expires_height` (block time).

    Kept outside entity balances. `transfer_id` is the outflow that it belongs to.
    """

    __tablename__ = "followed_outpoint"
    __table_args__ = (
        Index("followed_created", "chain", "created_hash"),
        Index("followed_spent", "chain", "spent_hash"),
    )

    chain: str = Field(primary_key=True)
    outpoint: bytes = Field(sa_column=_bytes(primary_key=True))
    key: bytes = Field(sa_column=_bytes())
    amount: int = Field(sa_column=Column(Amount, nullable=False))
    transfer_id: str
    entity_id: int = Field(foreign_key="entity.id")
    depth: int = 1
    created_height: int
    created_hash: bytes = Field(sa_column=_bytes())
    expires_height: int
    spent_height: int | None = None
    spent_hash: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))


class Balance(SQLModel, table=True):
    """Opening plus canonical movements of one address and asset, tagged with the block it is of.

    One row a bucket and a tenure of the address (`wallet_id`, as in `Movement`).
    """

    __tablename__ = "balance"
    __table_args__ = (Index("balance_wallet", "wallet_id"),)

    chain: str = Field(primary_key=True)
    key: bytes = Field(sa_column=_bytes(primary_key=True))
    asset: str = Field(primary_key=True)
    bucket: str = Field(default="liquid", primary_key=True)
    wallet_id: int = Field(foreign_key="wallet.id", primary_key=True)
    entity_id: int = Field(foreign_key="entity.id", index=True)
    amount: int = Field(sa_column=Column(Amount, nullable=False))
    as_of_height: int
    as_of_hash: bytes = Field(sa_column=_bytes())


class DayFlow(SQLModel, table=True):
    """What one wallet's canonical movements of one UTC day add up to: the past without a replay.

    Written with the movements, so that a balance at any time is a sum of days and of one day's
    movements.
    """

    __tablename__ = "day_flow"

    wallet_id: int = Field(foreign_key="wallet.id", primary_key=True)
    asset: str = Field(primary_key=True)
    bucket: str = Field(primary_key=True)
    cause: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    amount: int = Field(sa_column=Column(Amount, nullable=False))


class Transfer(SQLModel, table=True):
    """The net effect of one transaction on one entity and asset, with what it is believed to be.

    `id` is derived from (chain, tx, entity, asset): a re-mined transaction keeps it.
    """

    __tablename__ = "transfer"
    __table_args__ = (
        Index("transfer_entity", "entity_id", "time"),
        Index("transfer_block", "chain", "block_hash"),
        Index("transfer_senders", "chain", "time", postgresql_where=text("senders = 'due'")),
    )

    id: str = Field(primary_key=True)
    chain: str
    tx: bytes = Field(sa_column=_bytes())
    block_hash: bytes = Field(sa_column=_bytes())
    height: int
    time: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    entity_id: int = Field(foreign_key="entity.id")
    asset: str
    gross_in: int = Field(sa_column=Column(Amount, nullable=False))
    gross_out: int = Field(sa_column=Column(Amount, nullable=False))
    fee: int = Field(sa_column=Column(Amount, nullable=False))
    net: int = Field(sa_column=Column(Amount, nullable=False))
    counterparties: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=Column(JSONB, nullable=False)
    )
    intent: str
    probability: Decimal = Field(sa_column=Column(Numeric(5, 4), nullable=False))
    evidence: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=Column(JSONB, nullable=False)
    )
    value_usd: Decimal | None = Field(default=None, sa_column=Column(Numeric(38, 2)))
    price_as_of: datetime | None = Field(default=None, sa_column=Column(UtcTime))
    canonical: bool = True
    # An inflow whose senders the block did not reveal: asked of a source later (`due`, `asked`).
    senders: str | None = None
