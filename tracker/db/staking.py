"""Table of validators: coins deposited to the consensus layer for a watched address."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

from tracker.db.types import Amount, UtcTime


class Validator(SQLModel, table=True):
    """One validator whose withdrawal credentials name a watched address.

    `deposited` wei in canonical deposits; `status` as the Beacon API says (None: never asked);
    `balance` wei at `as_of`, the consensus layer's own figure.
    """

    __tablename__ = "validator"
    __table_args__ = (Index("validator_wallet", "wallet_id"),)

    pubkey: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    wallet_id: int = Field(foreign_key="wallet.id", primary_key=True)
    index: int | None = None
    deposited: int = Field(sa_column=Column(Amount, nullable=False))
    status: str | None = None
    balance: int | None = Field(default=None, sa_column=Column(Amount))
    as_of: datetime | None = Field(default=None, sa_column=Column(UtcTime))
    first_deposit_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
