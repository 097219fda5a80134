"""Late traces: blocks applied without them, itemised once a source has them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlmodel import Session

from tracker.chains.ethereum import safe
from tracker.chains.ethereum.assets import ETHER, MAINNET, AssetTable
from tracker.chains.ethereum.movements import effective, movements
from tracker.chains.ethereum.pool import EthereumPool
from tracker.db import Database
from tracker.db.chain import Block
from tracker.domain.account import AccountKind, AccountMove
from tracker.domain.chain import BlockRef
from tracker.ledger import repository as ledger
from tracker.ledger.account_moves import owned_moves
from tracker.ledger.postings import repository as postings
from tracker.ledger.residual import Place, itemise, residual_at, set_residual
from tracker.reconciliation import repository

CHAIN = "ethereum"
# Traces cost a node seconds a block: a few a tick.
BATCH = 5


class LateTraces:
    """Turns residuals into the internal transfers that they stood for."""

    def __init__(
        self,
        database: Database,
        pool: EthereumPool,
        clock: Callable[[], datetime],
        assets: AssetTable = MAINNET,
    ) -> None:
        self._database = database
        self._pool = pool
        self._clock = clock
        self._assets = assets

    def tick(self) -> int:
        """Itemise a few blocks; returns how many. None where no source offers traces."""
        with self._database.transaction(snapshot=True) as session:
            blocks = repository.untraced_with_residuals(session, CHAIN, ETHER, BATCH)
            owned = {
                block.hash: {place.key for place in repository.residual_places(session, block)}
                for block in blocks
            }
        done = 0
        for block in blocks:
            traces = self._pool.traces(block.hash)
            if traces is None:
                break
            records = self._pool.block(block.hash)
            records.traces = traces
            found = effective(movements(records, owned[block.hash], self._assets))
            internal = [move for move in found if move.kind is AccountKind.INTERNAL]
            with self._database.transaction() as session:
                # Held still: a block that is applied meanwhile locks the same balances.
                ledger.lock_head(session, CHAIN)
                repository.hold(session, CHAIN)
                # Another may have done it while this one asked for the traces.
                if repository.untraced(session, CHAIN, block.hash):
                    self._itemise(session, block, internal)
                    done += 1
        return done

    def _itemise(self, session: Session, block: Block, internal: list[AccountMove]) -> None:
        ref = BlockRef(block.height, block.hash, block.parent, block.time)
        # For those alone whose balance says that something is missing, as they were counted then:
        # an address may have become another's since.
        for place in repository.residual_places(session, block):
            # Read from a Safe's call for want of traces: the same ether, which the traces show too.
            stood_in = [
                move
                for move in repository.movements_with_ref(session, block, safe.REF)
                if move.wallet_id == place.wallet_id
            ]
            postings.take_back(session, stood_in)
            fresh = itemise(session, CHAIN, block, owned_moves(internal, {place.key: place}))
            explained = sum(move.amount for move in fresh) - sum(m.amount for m in stood_in)
            left = residual_at(session, CHAIN, block.hash, place) - explained
            set_residual(session, CHAIN, ref, place, left, cause="movement")
            self._tell(session, block, place, left)
        repository.mark_traced(session, CHAIN, block.hash)

    def _tell(self, session: Session, block: Block, place: Place, left: int) -> None:
        if left:
            repository.reopen_discrepancy(
                session, place.wallet_id, place.asset, block.hash, amount=left,
                says="the block's traces explain only a part of it",
            )  # fmt: skip
        else:
            repository.close_discrepancy(
                session, place.wallet_id, place.asset, block.hash,
                says="internal transfers, itemised once a source traced the block",
                now=self._clock(),
            )  # fmt: skip
