"""SQL of opening movements: made smaller by backfill, moved to the block below its range."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from tracker.db.chain import DayFlow, Movement
from tracker.db.registry import Wallet

KIND = "opening"
CAUSE = "attribution"


def openings_of(session: Session, tenure_id: int) -> list[tuple[str, str, int]]:
    """(asset, bucket, base units) of a wallet's canonical opening movements."""
    rows = session.exec(
        select(Movement.asset, Movement.bucket, Movement.amount)
        .where(Movement.wallet_id == tenure_id, Movement.kind == KIND, col(Movement.canonical))
        .order_by(Movement.asset, Movement.bucket)
    )
    return [(asset, bucket, amount) for asset, bucket, amount in rows]


def add_to_opening(
    session: Session, wallet: Wallet, tenure_id: int, asset: str, bucket: str, amount: int
) -> None:
    """Add to an opening and to its day; the balance stays, which dated movements changed alike."""
    if wallet.opening_height is None or wallet.opening_hash is None or wallet.opening_time is None:
        raise ValueError("a wallet without an opening cannot be backfilled")
    statement = insert(Movement).values(
        chain=wallet.chain,
        block_hash=wallet.opening_hash,
        tx=b"",
        ref=KIND,
        key=wallet.key,
        asset=asset,
        kind=KIND,
        bucket=bucket,
        wallet_id=tenure_id,
        cause=CAUSE,
        amount=amount,
        height=wallet.opening_height,
        time=wallet.opening_time,
        entity_id=wallet.entity_id,
        canonical=True,
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[
                "chain", "block_hash", "tx", "ref", "key", "asset", "kind", "bucket", "wallet_id",
            ],
            set_={"amount": Movement.__table__.c.amount + statement.excluded.amount},  # type: ignore[attr-defined]
        )
    )  # fmt: skip
    _add_to_day(session, tenure_id, asset, bucket, wallet.opening_time, amount)


def move_opening(
    session: Session,
    wallet: Wallet,
    tenure_id: int,
    *,
    height: int,
    block_hash: bytes,
    time: datetime,
) -> None:
    """Date what is left of a wallet's openings at another block; those of nothing go."""
    for row in session.exec(
        select(Movement).where(
            Movement.wallet_id == tenure_id, Movement.kind == KIND, col(Movement.canonical)
        )
    ).all():
        _add_to_day(session, tenure_id, row.asset, row.bucket, row.time, -row.amount)
        _add_to_day(session, tenure_id, row.asset, row.bucket, time, row.amount)
    session.execute(
        delete(Movement).where(
            col(Movement.wallet_id) == tenure_id,
            col(Movement.kind) == KIND,
            col(Movement.canonical),
            col(Movement.amount) == 0,
        )
    )
    session.execute(
        update(Movement)
        .where(
            col(Movement.wallet_id) == tenure_id,
            col(Movement.kind) == KIND,
            col(Movement.canonical),
        )
        .values(block_hash=block_hash, height=height, time=time)
    )
    session.execute(
        update(Wallet)
        .where(col(Wallet.id) == wallet.id)
        .values(
            opening_height=height,
            opening_hash=block_hash,
            opening_time=time,
            history_from=height + 1,
        )
    )


def _add_to_day(
    session: Session, wallet_id: int, asset: str, bucket: str, time: datetime, amount: int
) -> None:
    statement = insert(DayFlow).values(
        wallet_id=wallet_id,
        asset=asset,
        bucket=bucket,
        cause=CAUSE,
        day=time.date(),
        amount=amount,
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["wallet_id", "asset", "bucket", "cause", "day"],
            set_={"amount": DayFlow.__table__.c.amount + statement.excluded.amount},  # type: ignore[attr-defined]
        )
    )
