"""SQL that reads the ledger by entity and by transfer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, tuple_
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from tracker.db.chain import Balance, Movement, Transfer
from tracker.db.registry import Wallet


@dataclass(frozen=True, slots=True)
class Held:
    """What an entity holds of an asset in a bucket: base units over the wallets that count now.

    `changed_at` is the height of the newest change.
    """

    entity_id: int
    asset: str
    bucket: str
    amount: int
    changed_at: int


def held_now(session: Session, entity_id: int | None = None) -> list[Held]:
    """The sums of one entity, or of all, over open wallets whose balance can be told.

    A wallet of which nothing is known yet (no opening, and no note why not) is left out: what was
    matched before its opening is a part of nothing.
    """
    query = (
        select_columns(
            col(Balance.entity_id),
            col(Balance.asset),
            col(Balance.bucket),
            func.sum(Balance.amount),
            func.max(Balance.as_of_height),
        )
        .join(
            Wallet,
            (func.coalesce(Wallet.tenure_id, Wallet.id) == col(Balance.wallet_id))
            & (col(Wallet.entity_id) == col(Balance.entity_id)),
        )
        .where(
            col(Wallet.closed_at).is_(None),
            col(Wallet.opening_known) | col(Wallet.opening_note).is_not(None),
        )
        .group_by(col(Balance.entity_id), col(Balance.asset), col(Balance.bucket))
    )
    if entity_id is not None:
        query = query.where(col(Balance.entity_id) == entity_id)
    return [
        Held(owner, asset, bucket, int(amount), height)
        for owner, asset, bucket, amount, height in session.execute(query)
    ]


def balances_of_wallets(
    session: Session, entity_ids: Collection[int], tenure_ids: Collection[int]
) -> list[Balance]:
    """Every balance of some tenures, which are these entities'."""
    return list(
        session.exec(
            select(Balance)
            # By entity too: that column has the index.
            .where(
                col(Balance.entity_id).in_(entity_ids), col(Balance.wallet_id).in_(tenure_ids)
            )
            .order_by(col(Balance.asset), col(Balance.bucket))
        )
    )


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
