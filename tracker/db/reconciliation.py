"""Tables of reconciliation: what was probed, where the ledger differed, what is backfilled."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from tracker.db.types import Amount, UtcTime


class Probe(SQLModel, table=True):
    """The newest block at which a wallet's balance was asked of the chain, and what it said."""

    __tablename__ = "probe"

    wallet_id: int = Field(foreign_key="wallet.id", primary_key=True)
    asset: str = Field(primary_key=True)
    height: int
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    observed: int = Field(sa_column=Column(Amount, nullable=False))
    agreed: bool
    source: str
    probed_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))


class Discrepancy(SQLModel, table=True):
    """Ledger and observed balance differ by `amount` (observed less ledger) in one block.

    `state`: `open` (nothing says why), `explained` (`explanation` and `says` do), `closed` (better
    records made it vanish). One that is known only to lie in (`from_height`, `height`] is an
    unresolved range. `canonical` falls with its block.
    """

    __tablename__ = "discrepancy"
    __table_args__ = (
        Index("discrepancy_one", "wallet_id", "asset", "block_hash", unique=True),
        Index("discrepancy_entity", "entity_id", "id"),
        Index("discrepancy_open", "chain", postgresql_where=text("state = 'open'")),
    )

    id: int | None = Field(default=None, primary_key=True)
    chain: str
    height: int
    block_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    from_height: int | None = None
    key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    asset: str
    entity_id: int = Field(foreign_key="entity.id")
    wallet_id: int = Field(foreign_key="wallet.id")
    observed: int = Field(sa_column=Column(Amount, nullable=False))
    expected: int = Field(sa_column=Column(Amount, nullable=False))
    amount: int = Field(sa_column=Column(Amount, nullable=False))
    state: str
    explanation: str | None = None
    says: str
    source: str
    canonical: bool = True
    opened_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    closed_at: datetime | None = Field(default=None, sa_column=Column(UtcTime))


class BackfillJob(SQLModel, table=True):
    """A range of final blocks that is read for some wallets; resumed from `next_height`.

    `state`: `waiting`, `running`, `done`, `failed` (`error` says why), `cancelled`.
    """

    __tablename__ = "backfill_job"

    id: int | None = Field(default=None, primary_key=True)
    chain: str
    wallet_ids: list[int] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    from_height: int
    to_height: int
    next_height: int
    # The block below `next_height`, to which the next one must link.
    last_hash: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    # The hash below `from_height`, and the time of the block there: where openings end up.
    first_parent: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    first_time: datetime | None = Field(default=None, sa_column=Column(UtcTime))
    state: str = "waiting"
    error: str | None = None
    movements: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    updated_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
