"""SQL that posts movements: the rows, the balances and the days that they add up to, together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import bindparam, case, delete, func, text, tuple_, update
from sqlalchemy.dialects.postgresql import Insert
from sqlmodel import Session, col, select

from tracker.db.bulk import bulk_insert
from tracker.db.chain import Balance, DayFlow, Movement
from tracker.domain.chain import BlockRef
from tracker.ledger.effects import LedgerMovement

_MOVEMENT_KEY = (
    "chain", "block_hash", "tx", "ref", "key", "asset", "kind", "bucket", "wallet_id",
)  # fmt: skip


def post(session: Session, chain: str, block: BlockRef, moves: Sequence[LedgerMovement]) -> None:
    """Write the movements of one block, and add them to balances and days.

    Balances are tagged with `block`, unless they are of a newer one already. A movement of a block
    that is canonical again is un-flagged. Each may be posted once while its block is canonical: the
    cursor's compare-and-swap, or the lock that the caller holds, sees to that.
    """
    if not moves:
        return
    write_movements(session, [row(chain, block, move) for move in moves])
    add_to_balances(session, _balance_rows(chain, block, moves))
    add_to_days(session, block, moves)


def write_movements(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert movements; those of a block that is canonical again are un-flagged."""
    bulk_insert(session, Movement, rows, _unflag)


def _unflag(statement: Insert) -> Insert:
    return statement.on_conflict_do_update(
        index_elements=list(_MOVEMENT_KEY),
        set_={
            "canonical": True,
            "amount": statement.excluded.amount,
            "cause": statement.excluded.cause,
            # The wallet may have changed hands while the block was an orphan.
            "entity_id": statement.excluded.entity_id,
        },
    )


def add_to_balances(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Add signed amounts to balances; the tag never goes back to an older block."""
    bulk_insert(session, Balance, rows, _add_balance)


def _add_balance(statement: Insert) -> Insert:
    old = Balance.__table__.c  # type: ignore[attr-defined]
    new = statement.excluded
    newer = new.as_of_height >= old.as_of_height
    return statement.on_conflict_do_update(
        index_elements=["chain", "key", "asset", "bucket", "wallet_id"],
        set_={
            "amount": old.amount + new.amount,
            "as_of_height": func.greatest(old.as_of_height, new.as_of_height),
            "as_of_hash": case((newer, new.as_of_hash), else_=old.as_of_hash),
            "entity_id": new.entity_id,
        },
    )


def keep_places(
    session: Session, chain: str, block: BlockRef, moves: Sequence[LedgerMovement]
) -> None:
    """Make a balance of nothing where `moves` have none: what came and went was held once."""
    rows = [{**row, "amount": 0} for row in _balance_rows(chain, block, moves)]
    bulk_insert(session, Balance, rows, _ignore)


def _ignore(statement: Insert) -> Insert:
    return statement.on_conflict_do_nothing()


def add_to_days(session: Session, block: BlockRef, moves: Sequence[LedgerMovement]) -> None:
    """Add signed amounts to the UTC day of `block`."""
    totals: dict[tuple[int, str, str, str], int] = defaultdict(int)
    for move in moves:
        totals[move.wallet_id, move.asset, move.bucket, move.cause] += move.amount
    rows = [
        {
            "wallet_id": wallet_id,
            "asset": asset,
            "bucket": bucket,
            "cause": cause,
            "day": block.time.date(),
            "amount": totals[wallet_id, asset, bucket, cause],
        }
        for wallet_id, asset, bucket, cause in sorted(totals)
    ]
    bulk_insert(session, DayFlow, rows, _add_day)


def _add_day(statement: Insert) -> Insert:
    return statement.on_conflict_do_update(
        index_elements=["wallet_id", "asset", "bucket", "cause", "day"],
        set_={"amount": DayFlow.__table__.c.amount + statement.excluded.amount},  # type: ignore[attr-defined]
    )


def invert(session: Session, chain: str, hashes: Sequence[bytes], fork: BlockRef) -> None:
    """Take the movements of orphaned blocks out of balances and days, and flag them."""
    within = {"chain": chain, "hashes": hashes}
    session.execute(
        text(
            """
            update balance b set amount = b.amount - m.total,
                   as_of_height = :height, as_of_hash = :hash
            from (select wallet_id, key, asset, bucket, sum(amount) as total from movement
                  where chain = :chain and canonical and block_hash in :hashes
                  group by wallet_id, key, asset, bucket) m
            where b.chain = :chain and b.key = m.key and b.asset = m.asset
              and b.bucket = m.bucket and b.wallet_id = m.wallet_id
            """
        ).bindparams(bindparam("hashes", expanding=True)),
        {**within, "height": fork.height, "hash": fork.hash},
    )
    session.execute(
        text(
            """
            update day_flow d set amount = d.amount - m.total
            from (select wallet_id, asset, bucket, cause,
                         (time at time zone 'UTC')::date as day, sum(amount) as total
                  from movement where chain = :chain and canonical and block_hash in :hashes
                  group by 1, 2, 3, 4, 5) m
            where d.wallet_id = m.wallet_id and d.asset = m.asset and d.bucket = m.bucket
              and d.cause = m.cause and d.day = m.day
            """
        ).bindparams(bindparam("hashes", expanding=True)),
        within,
    )
    session.execute(
        update(Movement)
        .where(col(Movement.chain) == chain, col(Movement.block_hash).in_(hashes))
        .values(canonical=False)
    )


def take_back(session: Session, moves: Sequence[Movement]) -> None:
    """Remove canonical movements for good, out of balances and days too (a residual redone)."""
    for move in moves:
        session.execute(
            update(Balance)
            .where(
                col(Balance.chain) == move.chain,
                col(Balance.key) == move.key,
                col(Balance.asset) == move.asset,
                col(Balance.bucket) == move.bucket,
                col(Balance.wallet_id) == move.wallet_id,
            )
            .values(amount=Balance.amount - move.amount)
        )
        session.execute(
            update(DayFlow)
            .where(
                col(DayFlow.wallet_id) == move.wallet_id,
                col(DayFlow.asset) == move.asset,
                col(DayFlow.bucket) == move.bucket,
                col(DayFlow.cause) == move.cause,
                col(DayFlow.day) == move.time.date(),
            )
            .values(amount=DayFlow.amount - move.amount)
        )
        session.execute(
            delete(Movement).where(
                *(getattr(Movement, name) == getattr(move, name) for name in _MOVEMENT_KEY)
            )
        )


def sums_of(session: Session, wallet_ids: Collection[int]) -> dict[tuple[int, str, str], int]:
    """Balances by (wallet, asset, bucket), those of 0 included."""
    rows = session.exec(
        select(Balance.wallet_id, Balance.asset, Balance.bucket, Balance.amount).where(
            col(Balance.wallet_id).in_(wallet_ids)
        )
    )
    return {(wallet_id, asset, bucket): amount for wallet_id, asset, bucket, amount in rows}


def movements_at(
    session: Session,
    chain: str,
    block_hash: bytes,
    places: Collection[tuple[int, str]],
    *,
    kind: str | None = None,
) -> list[Movement]:
    """Canonical movements of (wallet, asset) `places` in one block, of one kind or all."""
    query = select(Movement).where(
        Movement.chain == chain,
        Movement.block_hash == block_hash,
        col(Movement.canonical),
        tuple_(col(Movement.wallet_id), col(Movement.asset)).in_(list(places)),
    )
    if kind is not None:
        query = query.where(Movement.kind == kind)
    return list(session.exec(query))


def lacking(
    session: Session, chain: str, block_hash: bytes, moves: Sequence[LedgerMovement]
) -> list[LedgerMovement]:
    """Those of `moves` that are not posted in a block."""
    places = {(move.wallet_id, move.asset) for move in moves}
    posted = {
        (row.tx, row.ref, row.key, row.asset, row.kind, row.bucket, row.wallet_id)
        for row in (movements_at(session, chain, block_hash, places) if places else ())
    }
    return [
        move
        for move in moves
        if (move.tx, move.ref, move.key, move.asset, move.kind, move.bucket, move.wallet_id)
        not in posted
    ]


def sums_at(
    session: Session, wallet_ids: Collection[int], height: int
) -> dict[tuple[int, str, str], int]:
    """Balances by (wallet, asset, bucket) as they stood after the block at `height`."""
    later = session.exec(
        select(Movement.wallet_id, Movement.asset, Movement.bucket, func.sum(Movement.amount))
        .where(
            col(Movement.wallet_id).in_(wallet_ids),
            col(Movement.canonical),
            Movement.height > height,
        )
        .group_by(col(Movement.wallet_id), col(Movement.asset), col(Movement.bucket))
    )
    found = sums_of(session, wallet_ids)
    for wallet_id, asset, bucket, amount in later:
        found[wallet_id, asset, bucket] = found.get((wallet_id, asset, bucket), 0) - int(amount)
    return found


def row(chain: str, block: BlockRef, move: LedgerMovement) -> dict[str, Any]:
    """The columns of a movement in a block."""
    return {
        "chain": chain,
        "block_hash": block.hash,
        "tx": move.tx,
        "ref": move.ref,
        "key": move.key,
        "asset": move.asset,
        "kind": move.kind,
        "bucket": move.bucket,
        "wallet_id": move.wallet_id,
        "cause": move.cause,
        "amount": move.amount,
        "height": block.height,
        "time": block.time,
        "entity_id": move.entity_id,
        "canonical": True,
    }


def _balance_rows(
    chain: str, block: BlockRef, moves: Sequence[LedgerMovement]
) -> list[dict[str, Any]]:
    totals: dict[tuple[bytes, str, str, int, int], int] = defaultdict(int)
    for move in moves:
        totals[move.key, move.asset, move.bucket, move.wallet_id, move.entity_id] += move.amount
    # Sorted, so that two writers can never lock the same rows in opposite order.
    return [
        {
            "chain": chain,
            "key": key,
            "asset": asset,
            "bucket": bucket,
            "wallet_id": wallet_id,
            "entity_id": entity_id,
            "amount": totals[key, asset, bucket, wallet_id, entity_id],
            "as_of_height": block.height,
            "as_of_hash": block.hash,
        }
        for key, asset, bucket, wallet_id, entity_id in sorted(totals)
    ]

