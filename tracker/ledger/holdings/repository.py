"""SQL that reads the ledger by entity and by transfer."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, func, tuple_
from sqlmodel import Session, col, select

from tracker.db.chain import Balance, Movement, Transfer
from tracker.db.registry import Wallet


def _held_now() -> ColumnElement[bool]:
    """Joins a balance to the open wallet at its address, by key: a re-described wallet is new."""
    return (
        (col(Wallet.chain) == col(Balance.chain))
        & (col(Wallet.key) == col(Balance.key))
        & (col(Wallet.entity_id) == col(Balance.entity_id))
        & col(Wallet.closed_at).is_(None)
    )


def balances_of(session: Session, entity_id: int) -> list[Balance]:
    """Balances of the entity's open wallets."""
    return list(
        session.exec(
            select(Balance).join(Wallet, _held_now()).where(Balance.entity_id == entity_id)
        )
    )


def all_balances(session: Session) -> list[tuple[int, str, int]]:
    """(entity id, asset, amount in base units) over open wallets, summed."""
    rows = session.exec(
        select(Balance.entity_id, Balance.asset, func.sum(Balance.amount))
        .join(Wallet, _held_now())
        .group_by(col(Balance.entity_id), col(Balance.asset))
    ).all()
    return [(entity_id, asset, int(total)) for entity_id, asset, total in rows]


def transfers_of(
    session: Session,
    entity_id: int,
    *,
    before: tuple[datetime, str] | None = None,
    limit: int = 100,
) -> list[Transfer]:
    """Canonical transfers, newest first; `before` is (time, id) of the last one seen."""
    query = select(Transfer).where(Transfer.entity_id == entity_id, col(Transfer.canonical))
    if before is not None:
        query = query.where(tuple_(col(Transfer.time), col(Transfer.id)) < before)
    return list(
        session.exec(
            query.order_by(col(Transfer.time).desc(), col(Transfer.id).desc()).limit(limit)
        )
    )


def transfer_by_id(session: Session, transfer_id: str) -> Transfer | None:
    """One transfer, canonical or not."""
    return session.get(Transfer, transfer_id)


def movements_of(session: Session, entity_id: int, *, limit: int = 500) -> list[Movement]:
    """Canonical movements of an entity, newest first."""
    return list(
        session.exec(
            select(Movement)
            .where(Movement.entity_id == entity_id, col(Movement.canonical))
            .order_by(col(Movement.height).desc(), col(Movement.tx), col(Movement.ref))
            .limit(limit)
        )
    )


def keys_moved(session: Session, transfer: Transfer) -> set[bytes]:
    """The watched addresses whose balance a transfer's transaction changed for its entity."""
    return set(
        session.exec(
            select(Movement.key).where(
                Movement.chain == transfer.chain,
                Movement.block_hash == transfer.block_hash,
                Movement.tx == transfer.tx,
                Movement.entity_id == transfer.entity_id,
            )
        )
    )
