"""Schemas of backfill: the history below a wallet's opening, read on demand."""

from __future__ import annotations

from pydantic import Field

from tracker.api.schemas.common import Sent, Shown, Utc


class NewBackfill(Sent):
    """Which history to read. Without entity and addresses: of all opened wallets of the chain."""

    chain: str = Field(max_length=20, examples=["bitcoin"])
    entity: str | None = Field(None, max_length=80)
    addresses: list[str] = Field(default_factory=list, max_length=1000)
    from_: int | str = Field(
        alias="from", description="A height, or a UTC date or time", examples=[0, "2024-01-31"]
    )


class LeftOut(Shown):
    """A wallet that a backfill does not read for."""

    address: str
    reason: str


class BackfillItem(Shown):
    """A range of blocks that is read for some wallets."""

    id: int
    chain: str
    entities: list[str]
    wallets: int
    from_height: int
    to_height: int
    next_height: int
    percent: str = Field(description="Of the blocks, 0 to 100")
    blocks_per_second: str | None = Field(description="Since it was asked for")
    eta_seconds: int | None
    movements: int = Field(description="Movements that were dated so far")
    state: str = Field(description="waiting, running, done, failed or cancelled")
    waits: str | None = Field(None, description="What it waits for, where it does")
    error: str | None
    created_at: Utc
    updated_at: Utc


class StartedBackfill(BackfillItem):
    """A backfill that was asked for."""

    left_out: list[LeftOut]
