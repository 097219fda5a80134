"""SQL of transfers whose senders the block did not reveal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlmodel import Session, col, select

from tracker.db.chain import Transfer
from tracker.ledger.rows import DUE


def due(
    session: Session, chain: str, limit: int, besides: Collection[str] = ()
) -> list[Transfer]:
    """Canonical transfers whose senders are to be asked for, newest first; `besides` these ids."""
    query = (
        select(Transfer)
        .where(Transfer.chain == chain, Transfer.senders == DUE, col(Transfer.canonical))
        .order_by(col(Transfer.time).desc(), col(Transfer.id))
        .limit(limit)
    )
    if besides:
        query = query.where(col(Transfer.id).not_in(besides))
    return list(session.exec(query))


def hold_due(session: Session, transfer_id: str, block_hash: bytes) -> Transfer | None:
    """The transfer, held until the transaction ends; None unless it is due, in that very block."""
    return session.exec(
        select(Transfer)
        .where(
            Transfer.id == transfer_id,
            Transfer.block_hash == block_hash,
            col(Transfer.canonical),
            Transfer.senders == DUE,
        )
        .with_for_update()
    ).one_or_none()


def settle(
    session: Session, row: Transfer, state: str, parties: Sequence[dict[str, Any]] | None = None
) -> None:
    """Note how the question ended, and who the senders are where that was told."""
    row.senders = state
    if parties is not None:
        row.counterparties = list(parties)
    session.add(row)
    session.flush()
