"""What one fetched Ethereum block means: movements, transfers, beliefs. Reads, never writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlmodel import Session

from tracker.chains.ethereum.address import checksummed
from tracker.chains.ethereum.assets import ETHER
from tracker.domain.account import AccountKind, AccountMove, Bucket
from tracker.domain.account_netting import net_accounts, sides_of
from tracker.domain.chain import BlockRef
from tracker.domain.intent import classify_account
from tracker.ledger.account_moves import owned_moves
from tracker.ledger.effects import BlockEffects, ClassifiedTransfer, LedgerMovement
from tracker.ledger.postings import repository as postings
from tracker.registry import repository as registry
from tracker.registry.owners import owners_for
from tracker.scanning.reading import BlockReading, Prices

CHAIN = "ethereum"
# EJECTION_BALANCE of the consensus specifications: a validator that leaves brings at least about as
# much; what a reward brings is a hundredth of it.
PRINCIPAL = 16 * 10**18
# Whose coins come back first: those on their way.
_STAKED = (Bucket.EXITING, Bucket.STAKED, Bucket.PENDING_DEPOSIT)


@dataclass(frozen=True, slots=True)
class WatchedMoves:
    """The movements of a block on watched addresses, and whether its traces were at hand."""

    moves: tuple[AccountMove, ...]
    traced: bool | None


def read_block(
    session: Session,
    found: WatchedMoves,
    block: BlockRef,
    *,
    watch_version: int,
    source: str,
) -> BlockReading:
    """Everything that `block` changes, judged with the facts and prices of its own time."""
    sides = sides_of(found.moves)
    owners = owners_for(session, CHAIN, sides)
    labels = registry.labels_for(session, CHAIN, sides - owners.keys())
    prices = Prices(session, block.time)
    staked = {
        (move.tx, owners[move.key].entity_id)
        for move in found.moves
        if move.kind == "stake_deposit" and move.key in owners
    }
    wrapped = {
        (move.tx, owners[move.key].entity_id, abs(move.amount))
        for move in found.moves
        if move.kind in ("wrap", "unwrap") and move.key in owners
    }
    transfers = []
    for transfer in net_accounts(
        CHAIN, block, found.moves, owners=owners, labels=labels, address_of=checksummed
    ):
        entity_id = transfer.owners[0].entity_id
        moved = abs(transfer.net + transfer.fee)
        _, price_as_of = prices.of(transfer.asset)
        transfers.append(
            ClassifiedTransfer(
                transfer,
                classify_account(
                    transfer,
                    own_stake=(transfer.tx, entity_id) in staked,
                    wrapped=(transfer.tx, entity_id, moved) in wrapped,
                ),
                prices.value(transfer.asset, abs(transfer.net)),
                price_as_of,
            )
        )
    moves = owned_moves(found.moves, owners)
    return BlockReading(
        effects=BlockEffects(
            block=block,
            source=source,
            watch_version=watch_version,
            movements=moves + _returned(session, moves, block.height),
            transfers=tuple(transfers),
            traced=found.traced,
        ),
        sweeps=(),
        prices=prices,
    )


def _returned(
    session: Session, moves: Sequence[LedgerMovement], height: int
) -> tuple[LedgerMovement, ...]:
    """What large withdrawals take out of the buckets of staked ether, else it would count twice.

    A withdrawal of `PRINCIPAL` or more is principal that comes back, a smaller one a reward. No
    bucket gives more than it held below `height`.
    """
    back = [
        move
        for move in moves
        if move.kind == AccountKind.WITHDRAWAL and move.asset == ETHER and move.amount >= PRINCIPAL
    ]
    if not back:
        return ()
    held = postings.sums_at(session, {move.wallet_id for move in back}, height - 1)
    found = []
    for move in back:
        left = move.amount
        for bucket in _STAKED:
            place = (move.wallet_id, ETHER, str(bucket))
            taken = min(left, max(held.get(place, 0), 0))
            if taken:
                found.append(replace(move, amount=-taken, bucket=str(bucket)))
                held[place] -= taken
                left -= taken
    return tuple(found)
