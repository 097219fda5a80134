"""All SQL of the ledger. Bulk statements only: a block is a handful of round trips."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, case, delete, func, literal, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from tracker.db.chain import Block, Cursor, FollowedOutpoint, Transfer
from tracker.db.reconciliation import Discrepancy
from tracker.db.types import UtcTime
from tracker.domain.chain import BlockRef
from tracker.domain.intent import Classification
from tracker.ledger.coins import repository as coins
from tracker.ledger.postings import repository as postings


@dataclass(frozen=True, slots=True)
class Ancestor:
    """An applied block's hash (display order), header time and compact target."""

    hash: bytes
    time: datetime
    bits: int


# -- the cursor ------------------------------------------------------------------------------------


def cursor_of(session: Session, chain: str) -> Cursor | None:
    """Where the scan of `chain` stands; None before its first start."""
    return session.get(Cursor, chain, populate_existing=True)


def start_cursor(
    session: Session, chain: str, height: int, block_hash: bytes, now: datetime
) -> None:
    """Set a chain's first cursor, unless it has one."""
    session.execute(
        insert(Cursor)
        .values(
            chain=chain,
            height=height,
            hash=block_hash,
            final_height=-1,
            safe_height=-1,
            highest=height,
            tip_advanced_at=now,
        )
        .on_conflict_do_nothing()
    )


def lock_head(session: Session, chain: str) -> Block | None:
    """The block on which the cursor stands, held there until the transaction ends."""
    cursor = session.exec(
        select(Cursor).where(Cursor.chain == chain).with_for_update(read=True)
    ).first()
    return None if cursor is None else session.get(Block, (chain, cursor.hash))


def move_cursor(
    session: Session, chain: str, *, expect: bytes, height: int, block_hash: bytes, now: datetime
) -> bool:
    """Move the cursor from `expect` to a block by compare-and-swap; false if it stood elsewhere."""
    result = session.execute(
        update(Cursor)
        .where(col(Cursor.chain) == chain, col(Cursor.hash) == expect)
        .values(
            height=height,
            hash=block_hash,
            # A liveness stamp: going back, or over old ground again, is no sign of life.
            tip_advanced_at=case(
                (col(Cursor.highest) < height, literal(now, UtcTime)), else_=Cursor.tip_advanced_at
            ),
            highest=func.greatest(Cursor.highest, height),
        )
    )
    return cast("CursorResult[Any]", result).rowcount == 1


def set_final(session: Session, chain: str, height: int, safe: int = -1) -> None:
    """Raise the final and safe heights of a chain; they never fall.

    Coins followed to an end below the final height go.
    """
    session.execute(
        update(Cursor)
        .where(col(Cursor.chain) == chain)
        .values(
            final_height=func.greatest(Cursor.final_height, height),
            safe_height=func.greatest(Cursor.safe_height, safe, height),
        )
    )
    for ended in (col(FollowedOutpoint.expires_height), col(FollowedOutpoint.spent_height)):
        session.execute(
            delete(FollowedOutpoint).where(col(FollowedOutpoint.chain) == chain, ended < height)
        )


def halt(session: Session, chain: str, why: str | None) -> None:
    """Stop a chain with a reason, or let it go on (None)."""
    session.execute(update(Cursor).where(col(Cursor.chain) == chain).values(halted=why))


def recent_blocks(session: Session, chain: str, limit: int) -> list[BlockRef]:
    """The newest canonical blocks, oldest first, linked."""
    rows = session.exec(
        select(Block)
        .where(Block.chain == chain, col(Block.canonical))
        .order_by(col(Block.height).desc())
        .limit(limit)
    ).all()
    return [BlockRef(row.height, row.hash, row.parent, row.time) for row in reversed(rows)]


# -- one block -------------------------------------------------------------------------------------


def write_block(session: Session, row: dict[str, Any]) -> None:
    """Insert a block, or make an orphan canonical again."""
    statement = insert(Block).values(row)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["chain", "hash"],
            set_={
                "canonical": True,
                "watch_version": statement.excluded.watch_version,
                # It may have had its traces the first time, or only now.
                "traced": statement.excluded.traced,
            },
        )
    )


def write_transfers(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert transfers; a re-mined one moves to its new block."""
    if not rows:
        return
    statement = insert(Transfer)
    columns = [name for name in rows[0] if name != "id"]
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["id"], set_={name: statement.excluded[name] for name in columns}
        ),
        rows,
    )


# -- rolling back ----------------------------------------------------------------------------------


def orphan_above(session: Session, chain: str, fork: BlockRef) -> list[bytes]:
    """Undo every canonical block above `fork`: blocks and movements flagged, balances inverted.

    Returns the orphaned hashes. Coins made there vanish, coins spent there are unspent again.
    """
    hashes = list(
        session.exec(
            select(Block.hash).where(
                Block.chain == chain, col(Block.canonical), Block.height > fork.height
            )
        )
    )
    if not hashes:
        return []
    postings.invert(session, chain, hashes, fork)
    coins.orphan(session, chain, hashes)
    session.execute(
        update(Transfer)
        .where(col(Transfer.chain) == chain, col(Transfer.block_hash).in_(hashes))
        .values(canonical=False)
    )
    session.execute(
        update(Discrepancy)
        .where(col(Discrepancy.chain) == chain, col(Discrepancy.block_hash).in_(hashes))
        .values(canonical=False)
    )
    session.execute(
        update(Block)
        .where(col(Block.chain) == chain, col(Block.hash).in_(hashes))
        .values(canonical=False)
    )
    return hashes


def believe(session: Session, transfer_id: str, belief: Classification) -> None:
    """Replace what a stored transfer is believed to be."""
    session.execute(
        update(Transfer)
        .where(col(Transfer.id) == transfer_id)
        .values(
            intent=str(belief.intent),
            probability=belief.probability,
            evidence=[item.as_dict() for item in belief.evidence],
        )
    )


def blocks_at(session: Session, chain: str, heights: Collection[int]) -> dict[int, Block]:
    """The canonical blocks at some heights; one that was never applied is missing."""
    rows = session.exec(
        select(Block).where(
            Block.chain == chain, col(Block.canonical), col(Block.height).in_(heights)
        )
    )
    return {row.height: row for row in rows}


def ancestor(
    session: Session, chain: str, height: int, block_hash: bytes | None = None
) -> Ancestor | None:
    """What proof of work needs of the canonical block at `height`; None where it was not applied.

    With `block_hash` only that block is taken: one that is not our newest means a fork, which is
    told elsewhere.
    """
    row = session.exec(
        select(Block).where(Block.chain == chain, Block.height == height, col(Block.canonical))
    ).first()
    if row is None or row.bits is None or (block_hash is not None and row.hash != block_hash):
        return None
    return Ancestor(row.hash, row.time, row.bits)
