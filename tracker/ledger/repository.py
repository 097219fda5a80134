"""All SQL of the ledger. Bulk statements only: a block is a handful of round trips."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, bindparam, delete, func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from tracker.db.chain import (
    Balance,
    Block,
    Cursor,
    FollowedOutpoint,
    Movement,
    Transfer,
    Utxo,
)
from tracker.domain.chain import BlockRef
from tracker.domain.intent import Classification
from tracker.domain.match import Coin

_STREAM_ROWS = 10_000


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
        .values(chain=chain, height=height, hash=block_hash, final_height=-1, tip_advanced_at=now)
        .on_conflict_do_nothing()
    )


def move_cursor(
    session: Session, chain: str, *, expect: bytes, height: int, block_hash: bytes, now: datetime
) -> bool:
    """Move the cursor from `expect` to a block by compare-and-swap; false if it stood elsewhere."""
    result = session.execute(
        update(Cursor)
        .where(col(Cursor.chain) == chain, col(Cursor.hash) == expect)
        .values(height=height, hash=block_hash, tip_advanced_at=now)
    )
    return cast("CursorResult[Any]", result).rowcount == 1


def set_final(session: Session, chain: str, height: int) -> None:
    """Raise the final height of a chain; it never falls. Coins followed to an end below it go."""
    session.execute(
        update(Cursor)
        .where(col(Cursor.chain) == chain, col(Cursor.final_height) < height)
        .values(final_height=height)
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
            set_={"canonical": True, "watch_version": statement.excluded.watch_version},
        )
    )


def write_movements(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert movements; those of a block that is canonical again are un-flagged."""
    if not rows:
        return
    statement = insert(Movement)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["chain", "block_hash", "tx", "ref", "key", "asset"],
            set_={
                "canonical": True,
                # The wallet may have changed hands while the block was an orphan.
                "entity_id": statement.excluded.entity_id,
                "wallet_id": statement.excluded.wallet_id,
            },
        ),
        rows,
    )


def add_to_balances(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Add signed amounts to balances and tag them with the block that made them so."""
    if not rows:
        return
    statement = insert(Balance)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["chain", "key", "asset"],
            set_={
                "amount": Balance.__table__.c.amount + statement.excluded.amount,  # type: ignore[attr-defined]
                "as_of_height": statement.excluded.as_of_height,
                "as_of_hash": statement.excluded.as_of_hash,
                "entity_id": statement.excluded.entity_id,
                "wallet_id": statement.excluded.wallet_id,
            },
        ),
        rows,
    )


def write_coins(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert outputs of watched scripts."""
    if rows:
        session.execute(insert(Utxo).on_conflict_do_nothing(), rows)


def write_followed(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert followed outputs."""
    if rows:
        session.execute(insert(FollowedOutpoint).on_conflict_do_nothing(), rows)


def spend(
    session: Session, chain: str, outpoints: Sequence[bytes], height: int, block_hash: bytes
) -> None:
    """Mark coins (ours and followed) as spent in a block."""
    for table in (Utxo, FollowedOutpoint) if outpoints else ():
        session.execute(
            update(table)
            .where(col(table.chain) == chain, col(table.outpoint).in_(outpoints))
            .values(spent_height=height, spent_hash=block_hash)
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


# -- what a block's hits need to know --------------------------------------------------------------


def coins_at(session: Session, chain: str, outpoints: Collection[bytes]) -> dict[bytes, Coin]:
    """Our unspent outputs among `outpoints`."""
    rows = session.exec(
        select(Utxo.outpoint, Utxo.key, Utxo.amount).where(
            Utxo.chain == chain, col(Utxo.outpoint).in_(outpoints), col(Utxo.spent_hash).is_(None)
        )
    ).all()
    return {outpoint: Coin(key, amount) for outpoint, key, amount in rows}


def followed_at(
    session: Session, chain: str, outpoints: Collection[bytes], height: int
) -> dict[bytes, FollowedOutpoint]:
    """Followed, unspent and unexpired outputs among `outpoints`."""
    rows = session.exec(
        select(FollowedOutpoint).where(
            FollowedOutpoint.chain == chain,
            col(FollowedOutpoint.outpoint).in_(outpoints),
            col(FollowedOutpoint.spent_hash).is_(None),
            FollowedOutpoint.expires_height >= height,
        )
    ).all()
    return {row.outpoint: row for row in rows}


def unspent_outpoints(session: Session, chain: str, height: int) -> set[bytes]:
    """Every outpoint worth matching above `height`: our coins and those followed."""
    own = select(Utxo.outpoint).where(Utxo.chain == chain, col(Utxo.spent_hash).is_(None))
    followed = select(FollowedOutpoint.outpoint).where(
        FollowedOutpoint.chain == chain,
        col(FollowedOutpoint.spent_hash).is_(None),
        FollowedOutpoint.expires_height > height,
    )
    # Streamed: the driver must not hold a million rows beside the set that they become.
    found = set(session.exec(own.execution_options(yield_per=_STREAM_ROWS)))
    found.update(session.exec(followed.execution_options(yield_per=_STREAM_ROWS)))
    return found


def followed_count(session: Session, chain: str, height: int) -> int:
    """How many coins are still followed at `height`."""
    return session.exec(
        select(func.count())
        .select_from(FollowedOutpoint)
        .where(
            FollowedOutpoint.chain == chain,
            col(FollowedOutpoint.spent_hash).is_(None),
            FollowedOutpoint.expires_height >= height,
        )
    ).one()


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
    session.execute(
        text(
            """
            update balance b set amount = b.amount - m.total,
                   as_of_height = :height, as_of_hash = :hash
            from (select key, asset, sum(amount) as total from movement
                  where chain = :chain and canonical and block_hash in :hashes
                  group by key, asset) m
            where b.chain = :chain and b.key = m.key and b.asset = m.asset
            """
        ).bindparams(bindparam("hashes", expanding=True)),
        {"chain": chain, "hashes": hashes, "height": fork.height, "hash": fork.hash},
    )
    session.execute(
        update(Movement)
        .where(col(Movement.chain) == chain, col(Movement.block_hash).in_(hashes))
        .values(canonical=False)
    )
    for table in (Utxo, FollowedOutpoint):
        session.execute(
            delete(table).where(col(table.chain) == chain, col(table.created_hash).in_(hashes))
        )
        session.execute(
            update(table)
            .where(col(table.chain) == chain, col(table.spent_hash).in_(hashes))
            .values(spent_height=None, spent_hash=None)
        )
    session.execute(
        update(Transfer)
        .where(col(Transfer.chain) == chain, col(Transfer.block_hash).in_(hashes))
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
