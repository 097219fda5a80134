"""SQL of validators: which deposits were read, what the ledger holds for them, how they stand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import exists, func, update
from sqlalchemy import select as select_columns
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from tracker.db.chain import Block, Cursor, Movement
from tracker.db.registry import Wallet
from tracker.db.staking import Validator

ASSET = "ETH"


@dataclass(frozen=True, slots=True)
class Staker:
    """A watched address in whose name deposits were made; `wallet_id` is its tenure."""

    wallet_id: int
    entity_id: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Deposits:
    """What one final block deposited in an address's name, wei."""

    height: int
    hash: bytes
    time: datetime
    amount: int


def hold_still(session: Session, chain: str) -> Cursor | None:
    """The cursor, kept from moving, and every reader that relies on it, until the end.

    To be called after the watch set is locked, in the order in which a scan takes the two.
    """
    query = select(Cursor).where(Cursor.chain == chain)
    return session.exec(query.with_for_update().execution_options(populate_existing=True)).first()


def stakers(session: Session, chain: str, height: int) -> list[Staker]:
    """Open wallets with canonical deposits at or below `height`, in the order of their ids."""
    tenure = func.coalesce(Wallet.tenure_id, Wallet.id)
    deposited = exists().where(
        col(Movement.wallet_id) == tenure,
        col(Movement.asset) == ASSET,
        col(Movement.height) <= height,
        col(Movement.kind) == "stake_deposit",
        col(Movement.canonical),
    )
    rows = session.execute(
        select_columns(tenure, col(Wallet.entity_id), col(Wallet.key))
        .where(col(Wallet.chain) == chain, col(Wallet.closed_at).is_(None), deposited)
        .order_by(tenure)
    )
    return [Staker(wallet_id, entity_id, key) for wallet_id, entity_id, key in rows]


# -- deposits --------------------------------------------------------------------------------------


def deposited(session: Session, wallet_id: int, height: int) -> int:
    """Wei that canonical movements up to `height` deposited."""
    return _total(session, wallet_id, Movement.kind == "stake_deposit", Movement.height <= height)


def blocks_with_deposits(
    session: Session, chain: str, wallet_id: int, *, above: int, upto: int, limit: int
) -> list[Deposits]:
    """The blocks in (`above`, `upto`] that hold deposits, lowest first."""
    rows = session.execute(
        select_columns(
            col(Movement.height), col(Movement.block_hash), col(Movement.time),
            func.sum(Movement.amount),
        )
        .where(
            col(Movement.chain) == chain,
            col(Movement.wallet_id) == wallet_id,
            col(Movement.asset) == ASSET,
            col(Movement.kind) == "stake_deposit",
            col(Movement.canonical),
            col(Movement.height) > above,
            col(Movement.height) <= upto,
        )
        .group_by(col(Movement.height), col(Movement.block_hash), col(Movement.time))
        .order_by(col(Movement.height))
        .limit(limit)
    )
    return [Deposits(height, found, time, int(amount)) for height, found, time, amount in rows]


def counted(session: Session, wallet_id: int) -> int:
    """Wei that the validators of an address are known to have been given."""
    query = select_columns(func.coalesce(func.sum(Validator.deposited), 0)).where(
        col(Validator.wallet_id) == wallet_id
    )
    return int(session.execute(query).scalar_one())


def add_deposits(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Add deposits to their validators; one row a public key."""
    if not rows:
        return
    statement = insert(Validator)
    old = Validator.__table__.c  # type: ignore[attr-defined]
    new = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["pubkey", "wallet_id"],
            set_={
                "deposited": old.deposited + new.deposited,
                "first_deposit_at": func.least(old.first_deposit_at, new.first_deposit_at),
            },
        ),
        list(rows),
    )


def forget_deposits(session: Session, wallet_id: int) -> None:
    """Count the deposits of an address from nothing again; how its validators stand is kept."""
    session.execute(
        update(Validator).where(col(Validator.wallet_id) == wallet_id).values(deposited=0)
    )


# -- how they stand --------------------------------------------------------------------------------


def validators_of(session: Session, wallet_id: int) -> list[Validator]:
    """The validators that were given anything in the name of an address."""
    query = select(Validator).where(Validator.wallet_id == wallet_id, Validator.deposited > 0)
    return list(session.exec(query.order_by(col(Validator.pubkey))))


def save_standing(session: Session, rows: Sequence[Validator]) -> None:
    """Write index, status, balance and as-of of validators."""
    session.execute(
        update(Validator),
        [
            {
                "pubkey": row.pubkey, "wallet_id": row.wallet_id, "index": row.index,
                "status": row.status, "balance": row.balance, "as_of": row.as_of,
            }
            for row in rows
        ],
    )  # fmt: skip


# -- the ledger ------------------------------------------------------------------------------------


def withdrawn(session: Session, wallet_id: int, since: datetime, height: int) -> int:
    """Wei that the consensus layer paid after `since` and that no bucket was lowered by."""
    return _total(
        session, wallet_id,
        Movement.kind == "withdrawal", Movement.time > since, Movement.height <= height,
    )


def principal_came_back(
    session: Session, wallet_id: int, above: int, buckets: Collection[str]
) -> bool:
    """Whether a withdrawal lowered one of `buckets` in a block above a height."""
    query = select(Movement.ref).where(
        Movement.wallet_id == wallet_id,
        Movement.asset == ASSET,
        Movement.height > above,
        Movement.kind == "withdrawal",
        col(Movement.bucket).in_(buckets),
        col(Movement.canonical),
    )
    return session.exec(query.limit(1)).first() is not None


def hidden(session: Session, wallet_id: int, height: int, buckets: Collection[str]) -> int:
    """Wei in `buckets` that backfill dated and took out of the opening, and nobody shows yet."""
    opening = (col(Movement.kind) == "opening") | (
        (col(Movement.kind) == "residual") & (col(Movement.cause) == "attribution")
    )
    inside = col(Movement.bucket).in_(buckets)
    return -_total(session, wallet_id, opening, inside, Movement.height <= height)


def block_at(session: Session, chain: str, height: int) -> Block | None:
    """The canonical block at a height, None where it was not scanned."""
    query = select(Block).where(Block.chain == chain, Block.height == height, col(Block.canonical))
    return session.exec(query).first()


def _total(session: Session, wallet_id: int, *conditions: Any) -> int:
    query = select_columns(func.coalesce(func.sum(Movement.amount), 0)).where(
        col(Movement.wallet_id) == wallet_id,
        col(Movement.asset) == ASSET,
        col(Movement.canonical),
        *conditions,
    )
    return int(session.execute(query).scalar_one())
