"""SQL of reconciliation: what is due, what was probed, where ledger and chain differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import exists, func, or_, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from tracker.db.chain import Block, Movement
from tracker.db.reconciliation import Discrepancy, Probe
from tracker.db.registry import Entity, Wallet
from tracker.ledger.postings import repository as postings
from tracker.ledger.residual import Place

# Not the space of the leases: the holder of one would wait for itself.
_LOCK_SPACE = 0x7264


def hold(session: Session, chain: str) -> None:
    """Wait for whoever writes residuals of `chain`, and hold others off until the end.

    A lease may be lost with its connection; this lock cannot outlive or be outlived by the work.
    """
    session.execute(
        text("select pg_advisory_xact_lock(:space, hashtext(:chain))"),
        {"space": _LOCK_SPACE, "chain": chain},
    )


def due(
    session: Session, chain: str, height: int, *, gap: int, limit: int
) -> list[Wallet]:
    """Wallets to probe at `height`, those longest unseen first.

    Due is one that was last probed `gap` blocks ago or more, or whose coins moved since.
    """
    tenure = func.coalesce(Wallet.tenure_id, Wallet.id)
    seen = (
        select(Probe.wallet_id, func.max(Probe.height).label("height"))
        .group_by(col(Probe.wallet_id))
        .subquery()
    )
    last = func.coalesce(seen.c.height, Wallet.opening_height)
    moved = exists().where(
        col(Movement.wallet_id) == tenure,
        col(Movement.canonical),
        col(Movement.height) > last,
        col(Movement.height) <= height,
    )
    query = (
        select(Wallet)
        .outerjoin(seen, seen.c.wallet_id == tenure)
        .join(Entity)
        .where(
            Wallet.chain == chain,
            col(Entity.enabled),
            col(Wallet.closed_at).is_(None),
            col(Wallet.opening_known),
            col(Wallet.opening_height) < height,
            last < height,
            or_(height - last >= gap, moved),
        )
        .order_by(last, col(Wallet.id))
        .limit(limit)
    )
    return list(session.exec(query))


def open_wallets_of(session: Session, chain: str, entity_id: int | None) -> list[Wallet]:
    """Opened wallets of one entity, or of all, on a chain; none of one that is switched off."""
    query = (
        select(Wallet)
        .join(Entity)
        .where(
            Wallet.chain == chain,
            col(Wallet.closed_at).is_(None),
            col(Wallet.opening_known),
            col(Entity.enabled),
        )
    )
    if entity_id is not None:
        query = query.where(Wallet.entity_id == entity_id)
    return list(session.exec(query.order_by(col(Wallet.id))))


def still_opened(session: Session, wallets: Sequence[Wallet]) -> list[Wallet]:
    """Those of `wallets`, as they were read before, that are open and opened now."""
    query = select(Wallet.id).where(
        col(Wallet.id).in_([wallet.id for wallet in wallets]),
        col(Wallet.closed_at).is_(None),
        col(Wallet.opening_known),
    )
    ids = set(session.exec(query))
    return [wallet for wallet in wallets if wallet.id in ids]


def probed_at(session: Session, wallet_ids: Collection[int]) -> dict[tuple[int, str], int]:
    """The height of the newest probe by (wallet, asset)."""
    rows = session.exec(
        select(Probe.wallet_id, Probe.asset, Probe.height).where(
            col(Probe.wallet_id).in_(wallet_ids)
        )
    )
    return {(wallet_id, asset): height for wallet_id, asset, height in rows}


def save_probes(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Write what was observed, each over the probe before."""
    if not rows:
        return
    statement = insert(Probe)
    names = ("height", "hash", "observed", "agreed", "source", "probed_at")
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["wallet_id", "asset"],
            set_={name: statement.excluded[name] for name in names},
        ),
        list(rows),
    )


def keep_seams(
    session: Session,
    wallets: Iterable[Wallet],
    assets: Sequence[tuple[str, str]],
    source: str,
    now: datetime,
) -> None:
    """Note of wallets that were never probed that ledger and chain agreed at their openings.

    Else a first probe would look for a miss from the block below a backfilled range on, where
    states are long gone and what backfill left unexplained is a difference of its own.
    """
    rows = []
    for wallet in wallets:
        tenure, height = wallet.tenure_id or wallet.id or 0, wallet.opening_height or 0
        sums = postings.sums_at(session, [tenure], height)
        rows += [
            {
                "wallet_id": tenure, "asset": asset, "height": height,
                "hash": wallet.opening_hash, "observed": sums.get((tenure, asset, bucket), 0),
                "agreed": True, "source": source, "probed_at": now,
            }
            for asset, bucket in assets
        ]  # fmt: skip
    if rows:
        session.execute(insert(Probe).on_conflict_do_nothing(), rows)


def save_discrepancy(session: Session, row: dict[str, Any]) -> None:
    """Write what differs in one block; a row of the same place is brought up to date."""
    statement = insert(Discrepancy).values(**row)
    kept = ("wallet_id", "asset", "block_hash", "opened_at")
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["wallet_id", "asset", "block_hash"],
            set_={name: statement.excluded[name] for name in row if name not in kept},
        )
    )


def close_discrepancy(
    session: Session, wallet_id: int, asset: str, block_hash: bytes, *, says: str, now: datetime
) -> None:
    """Note that nothing differs any more in a block."""
    session.execute(
        update(Discrepancy)
        .where(
            col(Discrepancy.wallet_id) == wallet_id,
            col(Discrepancy.asset) == asset,
            col(Discrepancy.block_hash) == block_hash,
            col(Discrepancy.state) != "closed",
        )
        .values(state="closed", says=says, amount=0, closed_at=now)
    )


def close_discrepancies_of(
    session: Session, wallet_id: int, asset: str, *, says: str, now: datetime
) -> None:
    """Note that ledger and chain agree again on a wallet's asset."""
    session.execute(
        update(Discrepancy)
        .where(
            col(Discrepancy.wallet_id) == wallet_id,
            col(Discrepancy.asset) == asset,
            col(Discrepancy.state) == "open",
            col(Discrepancy.explanation).is_(None),
        )
        .values(state="closed", says=says, closed_at=now)
    )


def untraced_with_residuals(session: Session, chain: str, asset: str, limit: int) -> list[Block]:
    """Blocks that were applied without traces and hold a liquid residual, newest first."""
    residuals = (
        select(Movement.block_hash)
        .where(
            Movement.chain == chain,
            Movement.kind == "residual",
            Movement.asset == asset,
            Movement.bucket == "liquid",
            col(Movement.canonical),
        )
        .distinct()
        # Apart: for the sake of the limit all blocks would be gone through instead.
        .cte("residuals")
        .prefix_with("MATERIALIZED")
    )
    query = (
        select(Block)
        .join(residuals, residuals.c.block_hash == Block.hash)
        .where(Block.chain == chain, col(Block.canonical), col(Block.traced).is_(False))
        .order_by(col(Block.height).desc())
        .limit(limit)
    )
    return list(session.exec(query))


def untraced(session: Session, chain: str, block_hash: bytes) -> bool:
    """Whether a block's internal transfers are still to be itemised."""
    query = select(Block.hash).where(
        Block.chain == chain, Block.hash == block_hash, col(Block.canonical),
        col(Block.traced).is_(False),
    )  # fmt: skip
    return session.exec(query).first() is not None


def movements_with_ref(session: Session, block: Block, ref: str) -> list[Movement]:
    """Canonical movements of a block that have one reference."""
    return list(
        session.exec(
            select(Movement).where(
                Movement.chain == block.chain,
                Movement.block_hash == block.hash,
                Movement.ref == ref,
                col(Movement.canonical),
            )
        )
    )


def mark_traced(
    session: Session, chain: str, block_hash: bytes, *, traced: bool = True
) -> None:
    """Note that a block's internal transfers are itemised now, or that they are to be again."""
    session.execute(
        update(Block)
        .where(col(Block.chain) == chain, col(Block.hash) == block_hash)
        .values(traced=traced)
    )


def discrepancies(
    session: Session,
    *,
    entity_id: int | None = None,
    state: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[tuple[Discrepancy, Entity]]:
    """Canonical discrepancies with their entities, newest first; `before` is the last id seen."""
    query = (
        select(Discrepancy, Entity)
        .join(Entity, col(Entity.id) == Discrepancy.entity_id)
        .where(col(Discrepancy.canonical))
    )
    if entity_id is not None:
        query = query.where(Discrepancy.entity_id == entity_id)
    if state is not None:
        query = query.where(Discrepancy.state == state)
    if before is not None:
        query = query.where(col(Discrepancy.id) < before)
    return list(session.exec(query.order_by(col(Discrepancy.id).desc()).limit(limit)).all())


def residual_places(session: Session, block: Block, asset: str = "ETH") -> list[Place]:
    """The wallets whose liquid balance of `asset` has a residual in a block.

    Those of staked ether say how validators stand, which no trace explains.
    """
    rows = session.exec(
        select(Movement)
        .where(
            Movement.chain == block.chain,
            Movement.block_hash == block.hash,
            Movement.kind == "residual",
            Movement.asset == asset,
            Movement.bucket == "liquid",
            col(Movement.canonical),
        )
        .order_by(col(Movement.wallet_id))
    )
    return [Place(row.wallet_id, row.entity_id, row.key, row.asset, row.bucket) for row in rows]


def reopen_discrepancy(
    session: Session, wallet_id: int, asset: str, block_hash: bytes, *, amount: int, says: str
) -> None:
    """Note how much of a discrepancy better records of its block leave unexplained.

    Of a range that was never resolved they explain a part at most: why it stands stays.
    """
    here = (
        col(Discrepancy.wallet_id) == wallet_id,
        col(Discrepancy.asset) == asset,
        col(Discrepancy.block_hash) == block_hash,
    )
    session.execute(
        update(Discrepancy)
        .where(*here)
        .values(amount=amount, expected=Discrepancy.observed - amount)
    )
    session.execute(
        update(Discrepancy)
        .where(*here, col(Discrepancy.from_height).is_(None))
        .values(state="open", explanation=None, says=says)
    )
