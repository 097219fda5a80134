"""Backfill: final blocks below a wallet's opening, read in resumable ranges, a slice at a time."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from sqlmodel import Session

from tracker.db import Database
from tracker.db.lease import lease
from tracker.db.reconciliation import BackfillJob
from tracker.db.registry import Wallet
from tracker.detection import chain_sales
from tracker.detection.news import NewsPolicy
from tracker.domain.chain import BlockRef
from tracker.errors import (
    CursorMovedError,
    InvalidBlockError,
    RetryableError,
    SourceUnavailableError,
    TrackerError,
)
from tracker.ledger import repository as ledger
from tracker.ledger.backfill import Left, post_dated, settle_openings
from tracker.ledger.coins import repository as coins
from tracker.ledger.effects import LedgerMovement
from tracker.ledger.rows import transfer_row
from tracker.log import get_logger
from tracker.reconciliation import repository as reconciliation
from tracker.registry import repository as registry
from tracker.scanning.chain_scan import ChainPool
from tracker.scanning.jobs import repository as jobs
from tracker.scanning.reading import BlockReading

LEASE_SPACE = 0x6266
COMMIT_BLOCKS = 200
READ_AHEAD = 4

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What one slice did; `more` says that there is work left that can be done now."""

    job_id: int | None = None
    blocks: int = 0
    movements: int = 0
    more: bool = False
    waiting: str | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A block as it was fetched and verified, and whether it touches the wallets at all."""

    block: BlockRef
    content: Any
    touched: bool


class Backfill(ABC):
    """Reads the ranges of one chain."""

    chain: ClassVar[str]
    # What is owed to the movements: on a chain of accounts not every record can be had.
    remainder_says: ClassVar[str]
    # (asset, bucket) of what probes of a wallet look at
    probed: Sequence[tuple[str, str]] = ()

    def __init__(
        self,
        database: Database,
        pool: ChainPool,
        news: NewsPolicy,
        clock: Callable[[], datetime],
        network: str,
    ) -> None:
        self._database = database
        self._pool = pool
        # What it finds is history, however young.
        self._news = replace(news, max_age=timedelta(0))
        self._clock = clock
        self._network = network

    @abstractmethod
    def start(self, job: BackfillJob, wallets: dict[int, Wallet]) -> None:
        """Forget the last range, and remember what this one needs."""

    @abstractmethod
    def fetch(self, height: int, block_hash: bytes) -> Any:
        """The bytes of a block: only I/O, so that the next one can be fetched meanwhile."""

    @abstractmethod
    def examine(self, height: int, block_hash: bytes, raw: Any) -> Fetched:
        """Verify a block and match it; raises `InvalidBlockError`."""

    @abstractmethod
    def read(self, session: Session, fetched: Fetched) -> BlockReading:
        """What a touched block means, as in the live scan."""

    # -- one slice ---------------------------------------------------------------------------------

    def slice(self, seconds: float) -> BackfillReport:
        """Work on the oldest unfinished range for about `seconds`; every commit can be resumed."""
        with lease(self._database, LEASE_SPACE, self.chain) as mine:
            if not mine:
                return BackfillReport(waiting="another worker backfills this chain")
            with self._database.transaction() as session:
                job = jobs.next_job(session, self.chain)
                if job is None:
                    return BackfillReport()
                wallets = jobs.wallets_of(session, job)
                awaiting = jobs.awaiting(session, job)
                cursor = ledger.cursor_of(session, self.chain)
            last = min(job.to_height, cursor.final_height if cursor is not None else -1)
            if awaiting:
                return BackfillReport(job.id, waiting="an opening is taken again after a fork")
            if not wallets:
                self._end(job, "cancelled", "its wallets are gone, or their holder is switched off")
                return BackfillReport(job.id, more=True)
            if job.next_height > last and job.next_height <= job.to_height:
                return BackfillReport(job.id, waiting="the blocks left to read are not final yet")
            try:
                return self._work(job, wallets, last, time.monotonic() + seconds)
            except RetryableError as error:
                return BackfillReport(job.id, waiting=str(error))
            except TrackerError as error:
                self._end(job, "failed", str(error))
                log.warning("backfill_failed", chain=self.chain, job=job.id, error=str(error))
                return BackfillReport(job.id, more=True)

    def _work(
        self, job: BackfillJob, wallets: dict[int, Wallet], last: int, deadline: float
    ) -> BackfillReport:
        self.start(job, wallets)
        blocks = movements = 0
        touched: list[Fetched] = []
        stood = job.next_height
        with self._ahead(job.next_height, last) as stream:
            for height, found, raw in stream:
                fetched = self._examined(job, height, found, raw)
                job.last_hash, job.next_height = fetched.block.hash, height + 1
                if fetched.touched:
                    touched.append(fetched)
                blocks += 1
                late = time.monotonic() > deadline
                if blocks % COMMIT_BLOCKS == 0 or late:
                    movements += self._commit(job, wallets, touched, stood)
                    touched, stood = [], job.next_height
                if late:
                    break
        movements += self._commit(job, wallets, touched, stood)
        if job.next_height > job.to_height:
            self._finish(job, wallets)
        done = job.state == "done"
        return BackfillReport(job.id, blocks, movements, more=done or job.next_height <= last)

    def _examined(self, job: BackfillJob, height: int, found: bytes, raw: Any) -> Fetched:
        try:
            fetched = self.examine(height, found, raw)
            _check_link(fetched.block, job.last_hash)
        except InvalidBlockError as error:
            self._pool.accuse(found, error)
            raise SourceUnavailableError(
                f"a source sent a block that cannot be: {error}", field="height", value=height,
                mend="it is taken from another source in the next slice",
            ) from error  # fmt: skip
        if job.first_parent is None:
            job.first_parent, job.first_time = fetched.block.parent, fetched.block.time
        return fetched

    @contextmanager
    def _ahead(self, first: int, last: int) -> Iterator[Iterator[tuple[int, bytes, Any]]]:
        """Blocks in order, the next few fetched while one is examined."""

        def one(height: int) -> tuple[int, bytes, Any]:
            found = self._pool.block_hash(height)
            if found is None:
                raise SourceUnavailableError(
                    "no source has a block of the range", field="height", value=height,
                    mend="use a source that keeps old blocks",
                )  # fmt: skip
            return height, found, self.fetch(height, found)

        executor = ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="backfill")

        def stream() -> Iterator[tuple[int, bytes, Any]]:
            pending = [
                executor.submit(one, height)
                for height in range(first, min(first + READ_AHEAD, last + 1))
            ]
            for height in range(first, last + 1):
                found = pending.pop(0).result()
                if height + READ_AHEAD <= last:
                    pending.append(executor.submit(one, height + READ_AHEAD))
                yield found

        try:
            yield stream()
        finally:
            executor.shutdown(cancel_futures=True)

    # -- writing -----------------------------------------------------------------------------------

    def _commit(
        self, job: BackfillJob, wallets: dict[int, Wallet], touched: list[Fetched], stood: int
    ) -> int:
        """One transaction: what the blocks since `stood` moved, and how far the job is.

        Raises `CursorMovedError` where another worker read on, or an opening fell meanwhile.
        """
        now, dated = self._clock(), 0
        with self._database.transaction() as session:
            self._fence(session, job, stood, wallets)
            for fetched in touched:
                reading = self.read(session, fetched)
                fresh = post_dated(
                    session, self.chain, fetched.block, reading.effects.movements, wallets
                )
                dated += len(fresh)
                self._post_coins(session, reading)
                reading = _of_these(reading, fresh)
                ledger.write_transfers(
                    session,
                    [transfer_row(each, fetched.block.hash) for each in reading.effects.transfers],
                )
                chain_sales.judge(
                    session,
                    reading.sales(),
                    chain=self.chain,
                    network=self._network,
                    news=self._news,
                    now=now,
                )
            job.movements += dated
            job.state = "running"
            jobs.save(session, job, now)
        return dated

    def _fence(
        self, session: Session, job: BackfillJob, stood: int, wallets: dict[int, Wallet]
    ) -> None:
        # No wallet may be closed or described anew until this is written, and no opening may fall:
        # a roll-back moves the cursor first.
        registry.lock_watch_set(session, self.chain)
        ledger.lock_head(session, self.chain)
        stands = jobs.stands_at(session, job)
        if stands != stood or jobs.awaiting(session, job):
            raise CursorMovedError(
                "the range changed while it was read", field="next_height", value=stands,
                mend="the next slice goes on from where it stands",
            )  # fmt: skip
        wallets.clear()
        wallets.update(jobs.wallets_of(session, job))

    def _post_coins(self, session: Session, reading: BlockReading) -> None:
        block = reading.effects.block
        coins.write_coins(
            session,
            [
                {
                    "chain": self.chain,
                    "outpoint": coin.outpoint,
                    "key": coin.key,
                    "amount": coin.amount,
                    "coinbase": coin.coinbase,
                    "created_height": block.height,
                    "created_hash": block.hash,
                }
                for coin in reading.effects.made
            ],
        )
        coins.spend(session, self.chain, reading.effects.spent, block.height, block.hash)

    def _finish(self, job: BackfillJob, wallets: dict[int, Wallet]) -> None:
        if job.first_parent is None or job.first_time is None:
            raise ValueError("a range without a block cannot be finished")
        now = self._clock()
        with self._database.transaction() as session:
            self._fence(session, job, job.next_height, wallets)
            reconciliation.keep_seams(session, wallets.values(), self.probed, self._pool.name, now)
            left = settle_openings(
                session,
                list(wallets.values()),
                height=job.from_height - 1,
                block_hash=job.first_parent,
                time=job.first_time,
            )
            for each in left:
                # Before the first block nobody held anything, and nobody ever held less than that.
                if job.from_height == 0 or each.amount < 0:
                    reconciliation.save_discrepancy(session, self._unexplained(job, each, now))
            job.state = "done"
            jobs.save(session, job, now)
        count = job.to_height - job.from_height + 1
        log.info("backfill_done", chain=self.chain, job=job.id, blocks=count)

    def _unexplained(self, job: BackfillJob, left: Left, now: datetime) -> dict[str, Any]:
        return {
            "chain": self.chain,
            "height": job.to_height,
            "block_hash": job.last_hash,
            "from_height": job.from_height - 1,
            "key": left.key,
            "asset": left.asset,
            "entity_id": left.entity_id,
            "wallet_id": left.tenure_id,
            "observed": left.amount,
            "expected": 0,
            "amount": left.amount,
            "state": "explained" if self.remainder_says else "open",
            "explanation": "unresolved_range",
            "says": self.remainder_says
            or f"the blocks from {job.from_height} on do not add up to what was held",
            "source": self._pool.name,
            "canonical": True,
            "opened_at": now,
            "closed_at": None,
        }

    def _end(self, job: BackfillJob, state: str, why: str) -> None:
        with self._database.transaction() as session:
            job.state, job.error = state, why
            jobs.save(session, job, self._clock())


def _of_these(reading: BlockReading, fresh: Sequence[LedgerMovement]) -> BlockReading:
    """A reading with the transfers that `fresh` movements are part of.

    All others are known: by records that were better perhaps, and what came after was judged too.
    """
    parts = {(move.tx, move.entity_id, move.asset) for move in fresh}
    transfers = tuple(
        each
        for each in reading.effects.transfers
        if (each.transfer.tx, each.transfer.owners[0].entity_id, each.transfer.asset) in parts
    )
    return replace(reading, effects=replace(reading.effects, transfers=transfers))


def _check_link(block: BlockRef, below: bytes | None) -> None:
    if below is not None and block.parent != below:
        raise InvalidBlockError(
            "the block does not link to the one read before it",
            field=f"header at {block.height}",
            value=block.parent.hex(),
            mend=f"it should name {below.hex()} as its parent",
        )
