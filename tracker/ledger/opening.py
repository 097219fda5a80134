"""The seam: what a wallet held at a block becomes its opening movement there.

The opening is what the chain shows at block S less what the ledger counted up to S. So a wallet
that was matched for some blocks before its snapshot is neither counted twice nor with a gap; from
S on its balance is the chain's own. If S is orphaned the opening falls with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session

from tracker.domain.chain import BlockRef
from tracker.domain.match import HeldCoin
from tracker.errors import CursorMovedError
from tracker.ledger import repository
from tracker.ledger.coins import repository as coins
from tracker.ledger.effects import LedgerMovement
from tracker.ledger.postings import repository as postings
from tracker.registry import repository as registry

KIND = "opening"


@dataclass(frozen=True, slots=True)
class Opening:
    """What one wallet was seen to hold.

    `wallet_id` is its open row, `tenure_id` the row under which the ledger counts. `amounts` are
    base units by (asset, bucket), every asset that was asked for, 0 included. `coins` are its
    unspent outputs on a chain of coins, None on one of accounts.
    """

    wallet_id: int
    tenure_id: int
    entity_id: int
    key: bytes
    amounts: Mapping[tuple[str, str], int]
    coins: tuple[HeldCoin, ...] | None = None


def open_wallets(
    session: Session, chain: str, block: BlockRef, openings: Sequence[Opening]
) -> None:
    """Write openings taken at `block`, in the caller's transaction, and let the scan know.

    Raises `CursorMovedError` where the cursor does not stand on `block` (any more).
    """
    if not openings:
        return
    held = {opening.key: opening.coins for opening in openings if opening.coins is not None}
    # The lock comes first: it waits for a block that is being applied, and holds off the next.
    registry.lock_watch_set(session, chain, to_bump=True)
    if any(held.values()):
        registry.bump_watch_set(session, chain)  # the scan has to know these coins to see them go
    cursor = repository.cursor_of(session, chain)
    if cursor is None or cursor.hash != block.hash:
        raise CursorMovedError(
            "the cursor moved while openings were taken",
            field="chain",
            value=chain,
            mend="the next tick takes them where it stands then",
        )
    counted = postings.sums_of(session, [opening.tenure_id for opening in openings])
    moves = []
    for opening in openings:
        for (asset, bucket), observed in sorted(opening.amounts.items()):
            amount = observed - counted.get((opening.tenure_id, asset, bucket), 0)
            if amount:
                moves.append(
                    LedgerMovement(
                        tx=b"",
                        ref=KIND,
                        key=opening.key,
                        asset=asset,
                        kind=KIND,
                        amount=amount,
                        entity_id=opening.entity_id,
                        wallet_id=opening.tenure_id,
                        bucket=bucket,
                        cause="attribution",
                    )
                )
    postings.post(session, chain, block, moves)
    if held:
        coins.replace_unspent(session, chain, block, held)
    registry.set_opening(session, [opening.wallet_id for opening in openings], block)
