"""Backfill: amounts move out of a wallet's opening into the dated movements of which it is made.

Only final blocks at or below the opening are read, so no reorganisation meets a backfill, and no
balance changes: what a dated movement adds, the opening loses in the same transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from tracker.db.registry import Wallet
from tracker.domain.chain import BlockRef
from tracker.ledger.effects import LedgerMovement
from tracker.ledger.openings import repository
from tracker.ledger.postings import repository as postings


@dataclass(frozen=True, slots=True)
class Left:
    """What no record of the range explains of one opening, in base units."""

    tenure_id: int
    entity_id: int
    key: bytes
    asset: str
    bucket: str
    amount: int


def post_dated(
    session: Session,
    chain: str,
    block: BlockRef,
    moves: Sequence[LedgerMovement],
    wallets: Mapping[int, Wallet],
) -> list[LedgerMovement]:
    """Date those of `moves` that belong to `wallets` (by tenure) and are not posted yet.

    Returns them. Movements above a wallet's opening were counted as they came.
    """
    own = [
        move
        for move in moves
        if move.wallet_id in wallets
        and block.height <= (wallets[move.wallet_id].opening_height or -1)
    ]
    fresh = postings.lacking(session, chain, block.hash, own)
    if not fresh:
        return []
    postings.write_movements(session, [postings.row(chain, block, move) for move in fresh])
    postings.add_to_days(session, block, fresh)
    postings.keep_places(session, chain, block, fresh)
    totals: dict[tuple[int, str, str], int] = defaultdict(int)
    for move in fresh:
        totals[move.wallet_id, move.asset, move.bucket] -= move.amount
    for (tenure, asset, bucket), amount in sorted(totals.items()):
        wallet = wallets[tenure]
        repository.add_to_opening(session, wallet, tenure, asset, bucket, amount)
    return fresh


def settle_openings(
    session: Session,
    wallets: Collection[Wallet],
    *,
    height: int,
    block_hash: bytes,
    time: datetime,
) -> list[Left]:
    """Put what is left of the openings at the block below the range; returns what that is.

    `height` is that of the block below the first one read, `block_hash` its hash, `time` that of
    the first block read.
    """
    left = []
    for wallet in wallets:
        tenure = wallet.tenure_id or wallet.id or 0
        for asset, bucket, amount in repository.openings_of(session, tenure):
            if amount:
                left.append(Left(tenure, wallet.entity_id, wallet.key, asset, bucket, amount))
        repository.move_opening(
            session, wallet, tenure, height=height, block_hash=block_hash, time=time
        )
    return left
