"""Apply one block, roll back to a fork point: the two ways in which the ledger changes."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from tracker.domain.chain import BlockRef
from tracker.errors import CursorMovedError, DeepForkError
from tracker.ledger import repository
from tracker.ledger.coins import repository as coins
from tracker.ledger.effects import BlockEffects
from tracker.ledger.postings import repository as postings
from tracker.ledger.rows import transfer_row
from tracker.registry import repository as registry


def apply_block(session: Session, chain: str, effects: BlockEffects, now: datetime) -> bool:
    """Write everything that a block changes, in the caller's transaction.

    The cursor's compare-and-swap comes first: it is the fence against a second worker. Returns
    False, having changed nothing, where the block is already the newest one applied. Raises
    `CursorMovedError` where the cursor stands anywhere else than on the block's parent.
    """
    block = effects.block
    moved = repository.move_cursor(
        session, chain, expect=block.parent, height=block.height, block_hash=block.hash, now=now
    )
    if not moved:
        cursor = repository.cursor_of(session, chain)
        if cursor is not None and cursor.hash == block.hash:
            return False
        raise CursorMovedError(
            "the cursor does not stand on the block's parent",
            field="chain",
            value=chain,
            mend="the next tick starts from where it stands",
        )
    repository.write_block(
        session,
        {
            "chain": chain,
            "hash": block.hash,
            "height": block.height,
            "parent": block.parent,
            "time": block.time,
            "canonical": True,
            "source": effects.source,
            "watch_version": effects.watch_version,
            "bits": effects.bits,
            "traced": effects.traced,
            "applied_at": now,
        },
    )
    postings.post(session, chain, block, effects.movements)
    coins.write_coins(
        session,
        [
            {
                "chain": chain,
                "outpoint": coin.outpoint,
                "key": coin.key,
                "amount": coin.amount,
                "coinbase": coin.coinbase,
                "created_height": block.height,
                "created_hash": block.hash,
            }
            for coin in effects.made
        ],
    )
    coins.write_followed(
        session,
        [
            {
                "chain": chain,
                "outpoint": coin.outpoint,
                "key": coin.key,
                "amount": coin.amount,
                "transfer_id": coin.transfer_id,
                "entity_id": coin.entity_id,
                "depth": 1,
                "created_height": block.height,
                "created_hash": block.hash,
                "expires_height": coin.expires_height,
            }
            for coin in effects.followed
        ],
    )
    coins.spend(session, chain, effects.spent, block.height, block.hash)
    repository.write_transfers(
        session, [transfer_row(item, block.hash) for item in effects.transfers]
    )
    return True


def roll_back(session: Session, chain: str, fork: BlockRef, now: datetime) -> list[bytes]:
    """Take the ledger back to `fork`, in the caller's transaction; returns the orphaned hashes.

    Raises `DeepForkError` below the final height, `CursorMovedError` if the cursor moved meanwhile.
    """
    cursor = repository.cursor_of(session, chain)
    if cursor is None or cursor.hash == fork.hash:
        return []
    if fork.height < cursor.final_height:
        raise DeepForkError(
            "the chain forked below its final height",
            field="height",
            value=fork.height,
            mend="check the sources against each other; then start this chain again from a backup",
        )
    if not repository.move_cursor(
        session, chain, expect=cursor.hash, height=fork.height, block_hash=fork.hash, now=now
    ):
        raise CursorMovedError(
            "the cursor moved while the chain was rolled back",
            field="chain",
            value=chain,
            mend="the next tick starts from where it stands",
        )
    hashes = repository.orphan_above(session, chain, fork)
    registry.void_openings(session, chain, hashes)
    return hashes
