"""SQL of unspent outputs: our own and those followed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, or_, update
from sqlalchemy.dialects.postgresql import Insert
from sqlmodel import Session, col, select

from tracker.db.bulk import bulk_insert
from tracker.db.chain import FollowedOutpoint, Utxo
from tracker.db.registry import Wallet
from tracker.domain.chain import BlockRef
from tracker.domain.coins import COINBASE_MATURITY
from tracker.domain.match import Coin, HeldCoin
from tracker.registry.repository import among

_STREAM_ROWS = 10_000


def write_coins(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert outputs of watched scripts."""
    bulk_insert(session, Utxo, rows, _ignore)


def write_followed(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert followed outputs."""
    bulk_insert(session, FollowedOutpoint, rows, _ignore)


def _ignore(statement: Insert) -> Insert:
    return statement.on_conflict_do_nothing()


def _unspend(statement: Insert) -> Insert:
    return statement.on_conflict_do_update(
        index_elements=["chain", "outpoint"], set_={"spent_height": None, "spent_hash": None}
    )


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


def coins_at(
    session: Session, chain: str, outpoints: Collection[bytes], block_hash: bytes
) -> dict[bytes, Coin]:
    """Our outputs among `outpoints` that a block can spend: unspent, or spent in that very block.

    The latter where a block is read again, for a wallet that came later.
    """
    rows = session.exec(
        select(Utxo.outpoint, Utxo.key, Utxo.amount).where(
            Utxo.chain == chain,
            col(Utxo.outpoint).in_(outpoints),
            or_(col(Utxo.spent_hash).is_(None), col(Utxo.spent_hash) == block_hash),
        )
    ).all()
    return {outpoint: Coin(key, amount) for outpoint, key, amount in rows}


def spendable_from(
    session: Session, chain: str, scripts: Collection[bytes], height: int
) -> set[bytes]:
    """Outpoints of some scripts that no block below `height` has spent."""
    return set(
        session.exec(
            select(Utxo.outpoint).where(
                Utxo.chain == chain,
                col(Utxo.key).in_(scripts),
                or_(col(Utxo.spent_height).is_(None), col(Utxo.spent_height) >= height),
            )
        )
    )


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


def immature(session: Session, entity_id: int, height: int) -> int:
    """Satoshi that an entity's open wallets hold and that the block after `height` cannot spend.

    They are rewards of blocks less than 100 deep (Bitcoin Core, consensus/consensus.h), counted as
    held. Of a coin that an opening found, a source may not have said whether it is a reward (nodes
    before Core 25): it does not count here.
    """
    total = session.exec(
        select(func.coalesce(func.sum(Utxo.amount), 0))
        .join(
            Wallet,
            (col(Wallet.chain) == Utxo.chain)
            & (col(Wallet.key) == Utxo.key)
            & col(Wallet.closed_at).is_(None),
        )
        .where(
            Wallet.entity_id == entity_id,
            col(Utxo.coinbase),
            Utxo.created_height <= height,
            Utxo.created_height > height + 1 - COINBASE_MATURITY,
            or_(col(Utxo.spent_height).is_(None), col(Utxo.spent_height) > height),
        )
    ).one()
    return int(total)


def replace_unspent(
    session: Session, chain: str, block: BlockRef, held: Mapping[bytes, Sequence[HeldCoin]]
) -> None:
    """Make `held` (by script) all that these scripts have unspent at `block`.

    What was not known comes as made in `block` and what is gone as spent in it, so that both are
    undone with it.
    """
    rows = [
        {
            "chain": chain,
            "outpoint": coin.outpoint,
            "key": script,
            "amount": coin.amount,
            "coinbase": bool(coin.coinbase),
            "created_height": coin.height,
            "created_hash": block.hash,
        }
        for script in sorted(held)
        for coin in held[script]
    ]
    known = session.exec(
        select(Utxo.outpoint).where(
            Utxo.chain == chain, among(Utxo.key, held), col(Utxo.spent_hash).is_(None)
        )
    )
    gone = set(known) - {row["outpoint"] for row in rows}
    session.execute(
        update(Utxo)
        .where(col(Utxo.chain) == chain, among(Utxo.outpoint, gone))
        .values(spent_height=block.height, spent_hash=block.hash)
    )
    bulk_insert(session, Utxo, rows, _unspend)


def orphan(session: Session, chain: str, hashes: Sequence[bytes]) -> None:
    """Undo orphaned blocks: coins made there vanish, coins spent there are unspent again."""
    for table in (Utxo, FollowedOutpoint):
        session.execute(
            delete(table).where(col(table.chain) == chain, col(table.created_hash).in_(hashes))
        )
        session.execute(
            update(table)
            .where(col(table.chain) == chain, col(table.spent_hash).in_(hashes))
            .values(spent_height=None, spent_hash=None)
        )
