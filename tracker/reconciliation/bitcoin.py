"""Bitcoin reconciled: the ledger against what a source says that each script holds at one tip.

Nothing is corrected: raw blocks leave nothing unexplained, so a difference is a fault, of the
ledger or of the source, and stays open until both agree again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlmodel import Session

from tracker.chains.pool import BitcoinPool
from tracker.chains.port import BitcoinSource, HistorySource, SnapshotSource
from tracker.db import Database
from tracker.db.chain import Block
from tracker.db.lease import lease
from tracker.db.registry import Wallet
from tracker.domain.chain import Tip
from tracker.errors import NotFoundError
from tracker.ledger import repository as ledger
from tracker.ledger.postings import repository as postings
from tracker.log import get_logger
from tracker.reconciliation import repository
from tracker.reconciliation.ethereum import LEASE_SPACE, ReconcileReport

CHAIN = "bitcoin"
ASSET = "BTC"
# A day of blocks: each probe tells a public source which script is watched.
PROBE_GAP = 144
# A server with an index is asked once a script; a node reads all its outputs, for however many.
BATCH_INDEXED = 20
BATCH_SCANNED = 1000

log = get_logger(__name__)


class BitcoinReconcile:
    """Compares balances; needs a source that can tell one (Esplora, or Core by a long scan)."""

    def __init__(
        self,
        database: Database,
        pool: BitcoinPool,
        clock: Callable[[], datetime],
        probe_gap: int = PROBE_GAP,
    ) -> None:
        self._database = database
        self._pool = pool
        self._clock = clock
        self._probe_gap = probe_gap

    def tick(self, wallets: Sequence[Wallet] | None = None) -> ReconcileReport:
        """Probe what is due, or `wallets`; raises `SourceUnavailableError` where nobody answers."""
        if not self._pool.offers(SnapshotSource):
            return ReconcileReport(skipped="no source can tell a balance")
        with lease(self._database, LEASE_SPACE, CHAIN) as mine:
            if not mine:
                return ReconcileReport(skipped="another worker reconciles this chain")
            return self._tick(wallets)

    def _tick(self, wallets: Sequence[Wallet] | None) -> ReconcileReport:
        batch = BATCH_INDEXED if self._pool.offers(HistorySource) else BATCH_SCANNED
        with self._database.transaction(snapshot=True) as session:
            cursor = ledger.cursor_of(session, CHAIN)
            if cursor is None:
                return ReconcileReport(skipped="no block has been applied yet")
            due = wallets
            if due is None:
                due = repository.due(
                    session, CHAIN, cursor.height, gap=self._probe_gap, limit=batch
                )
        if not due:
            return ReconcileReport(cursor.height)
        tip, observed = self._observed([wallet.key for wallet in due])
        with self._database.transaction() as session:
            # Held still: no block is applied between the reading of the balances and the verdict.
            block = ledger.lock_head(session, CHAIN)
            if block is None or block.hash != tip.hash:
                return ReconcileReport(cursor.height, skipped="the source is at another block")
            # An opening may have fallen with its block since: of that wallet nothing can be said.
            held = repository.still_opened(session, due)
            sums = postings.sums_of(session, [_tenure(wallet) for wallet in held])
            apart = self._compare(session, block, held, observed, sums)
        if apart:
            log.warning("balances_differ", chain=CHAIN, height=block.height, wallets=apart)
        return ReconcileReport(
            block.height, len(held), len(held) - apart, apart, more=len(due) == batch
        )

    def _observed(self, scripts: list[bytes]) -> tuple[Tip, dict[bytes, int]]:
        def read(source: BitcoinSource) -> tuple[Tip, dict[bytes, int]]:
            if isinstance(source, SnapshotSource):
                return source.balance(scripts)
            raise NotFoundError(
                "this source tells no balances", field="source", value=source.name,
                mend="add an esplora or core source",
            )  # fmt: skip

        return self._pool.ask(read)

    def _compare(
        self,
        session: Session,
        block: Block,
        wallets: Sequence[Wallet],
        observed: Mapping[bytes, int],
        sums: Mapping[tuple[int, str, str], int],
    ) -> int:
        now, apart, probes = self._clock(), 0, []
        for wallet in wallets:
            tenure, seen = _tenure(wallet), observed[wallet.key]
            expected = sums.get((tenure, ASSET, "liquid"), 0)
            probes.append(
                {
                    "wallet_id": tenure,
                    "asset": ASSET,
                    "height": block.height,
                    "hash": block.hash,
                    "observed": seen,
                    "agreed": seen == expected,
                    "source": self._pool.name,
                    "probed_at": now,
                }
            )
            if seen == expected:
                repository.close_discrepancies_of(
                    session, tenure, ASSET, says=f"both agree at block {block.height}", now=now
                )
                continue
            apart += 1
            repository.save_discrepancy(
                session,
                {
                    "chain": CHAIN,
                    "height": block.height,
                    "block_hash": block.hash,
                    "from_height": None,
                    "key": wallet.key,
                    "asset": ASSET,
                    "entity_id": wallet.entity_id,
                    "wallet_id": tenure,
                    "observed": seen,
                    "expected": expected,
                    "amount": seen - expected,
                    "state": "open",
                    "explanation": None,
                    "says": "the source's balance and the blocks do not agree",
                    "source": self._pool.name,
                    "canonical": True,
                    "opened_at": now,
                    "closed_at": None,
                },
            )
        repository.save_probes(session, probes)
        return apart


def _tenure(wallet: Wallet) -> int:
    return wallet.tenure_id or wallet.id or 0
