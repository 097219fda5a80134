"""Residuals: what the chain did to a balance that no record of a block explains.

One movement a (block, wallet, asset), observed less explained; made anew when better records come,
never added to. A discrepancy row beside it says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session

from tracker.db.chain import Block
from tracker.domain.chain import BlockRef
from tracker.ledger.effects import LedgerMovement
from tracker.ledger.postings import repository as postings

KIND = "residual"
REF = "probe"


@dataclass(frozen=True, slots=True)
class Place:
    """A wallet's asset in one bucket: what a probe can see."""

    wallet_id: int
    entity_id: int
    key: bytes
    asset: str
    bucket: str


def residual_at(session: Session, chain: str, block_hash: bytes, place: Place) -> int:
    """The residual that stands in a block, 0 where none does."""
    found = postings.movements_at(
        session, chain, block_hash, [(place.wallet_id, place.asset)], kind=KIND
    )
    return sum(move.amount for move in found if move.bucket == place.bucket)


def set_residual(
    session: Session, chain: str, block: BlockRef, place: Place, amount: int, *, cause: str
) -> None:
    """Make `amount` the residual of a place in a block, whatever stood there before."""
    standing = postings.movements_at(
        session, chain, block.hash, [(place.wallet_id, place.asset)], kind=KIND
    )
    postings.take_back(session, [move for move in standing if move.bucket == place.bucket])
    if amount:
        postings.post(
            session,
            chain,
            block,
            [
                LedgerMovement(
                    tx=b"",
                    ref=REF,
                    key=place.key,
                    asset=place.asset,
                    kind=KIND,
                    amount=amount,
                    entity_id=place.entity_id,
                    wallet_id=place.wallet_id,
                    bucket=place.bucket,
                    cause=cause,
                )
            ],
        )


def itemise(
    session: Session, chain: str, block: Block, moves: Sequence[LedgerMovement]
) -> list[LedgerMovement]:
    """Post those of `moves` that the ledger lacks in an applied block; returns them.

    For records that come late: internal transfers once a source has the block's traces.
    """
    ref = BlockRef(block.height, block.hash, block.parent, block.time)
    fresh = postings.lacking(session, chain, block.hash, moves)
    postings.post(session, chain, ref, fresh)
    return fresh


