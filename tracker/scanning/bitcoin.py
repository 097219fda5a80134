"""The tip tick of Bitcoin: compare with the source, apply blocks, follow reorganisations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from tracker.chains.bitcoin.address import address_of
from tracker.chains.bitcoin.block import BlockScan, scan
from tracker.chains.bitcoin.pow import EPOCH_BLOCKS
from tracker.chains.check import check_scan
from tracker.chains.pool import SourcePool
from tracker.config import Settings
from tracker.db import Database
from tracker.detection import chain_sales, forks
from tracker.detection import repository as alerts
from tracker.detection.news import NewsPolicy
from tracker.domain.chain import (
    FINAL_DEPTH,
    Behind,
    BlockRef,
    Fork,
    Gap,
    Same,
    fork_point,
    reconcile,
)
from tracker.doorbell import PUBLISH, Doorbell
from tracker.errors import (
    DeepForkError,
    InvalidBlockError,
    SourceUnavailableError,
    StaleWatchSetError,
)
from tracker.ledger import repository as ledger
from tracker.ledger.apply import apply_block, roll_back
from tracker.log import get_logger
from tracker.registry import repository as registry
from tracker.scanning.bitcoin_block import CHAIN, BlockReading, ReadingOptions, read_block
from tracker.scanning.repository import WatchState, load_watch, scan_lease

log = get_logger(__name__)
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class TickReport:
    """What one tick did. `more` asks for another one at once: the tip is still ahead."""

    applied: int = 0
    orphaned: int = 0
    alerts: int = 0
    height: int | None = None
    more: bool = False
    skipped: str | None = None


class BitcoinScan:
    """Follows one Bitcoin chain; keeps the watch set in memory between ticks."""

    def __init__(
        self,
        database: Database,
        pool: SourcePool,
        settings: Settings,
        doorbell: Doorbell,
        clock: Clock,
    ) -> None:
        self._database = database
        self._pool = pool
        self._settings = settings
        self._doorbell = doorbell
        self._clock = clock
        self._news = NewsPolicy.of(settings)
        self._watch: WatchState | None = None
        self._address_of = partial(address_of, network=settings.bitcoin_network)

    def tick(self) -> TickReport:
        """Bring the ledger towards the source's tip, at most the configured blocks at once.

        Raises `SourceUnavailableError` where no source answers and `DeepForkError` where the chain
        was halted; any block that was committed before stays.
        """
        with scan_lease(self._database, CHAIN) as mine:
            if not mine:
                return TickReport(skipped="another worker scans this chain")
            return self._tick()

    def _tick(self) -> TickReport:
        tip = self._pool.tip()
        local = self._local()
        if not local:
            self._start(tip.height, tip.hash)
            local = self._local()
        orphaned = 0
        verdict = reconcile(local, tip)
        if isinstance(verdict, Fork):
            orphaned = self._follow_fork(local)
            local = self._local()
            verdict = reconcile(local, tip)
        if isinstance(verdict, Same | Behind | Fork):
            return TickReport(orphaned=orphaned, height=self._height())
        last = verdict.last if isinstance(verdict, Gap) else verdict.height
        return self._advance(last, orphaned)

    def _advance(self, last: int, orphaned: int) -> TickReport:
        applied = told = 0
        limit = self._settings.bitcoin_max_blocks_per_tick
        head = self._local(1)[-1]
        while applied < limit and head.height < last:
            found = self._pool.block_hash(head.height + 1)
            if found is None:
                break  # the source took the block back, or lacks it: the next tick looks again
            raw = self._pool.block(found)
            watch = self._watch_state(head)
            try:
                scanned = scan(
                    raw,
                    watch.scripts,
                    watch.outpoints,
                    verify=self._settings.bitcoin_checks == "full",
                )
                block = self._check(scanned, head.height + 1, found)
            except InvalidBlockError as error:
                self._pool.accuse(found, error)
                log.warning("block_refused", hash=found.hex(), error=str(error))
                continue
            if block.parent != head.hash:
                undone = self._follow_fork(self._local())
                if not undone:
                    # The source shares our newest block, yet its next one stands on another.
                    self._pool.accuse(found, _unlinked(block, head))
                orphaned += undone
                head = self._local(1)[-1]
                continue
            try:
                told += self._apply(scanned, block, watch)
            except StaleWatchSetError:
                self._watch = None
                continue
            applied += 1
            head = block
        return TickReport(applied, orphaned, told, head.height, more=head.height < last)

    # -- the start ---------------------------------------------------------------------------------

    def _start(self, tip_height: int, tip_hash: bytes) -> None:
        """Begin at the configured height, at a folder's first block, or at the tip."""
        height = self._settings.bitcoin_start_height
        if height is None:
            height = self._pool.first_height()
        first = tip_hash if height is None else self._pool.block_hash(height)
        height = tip_height if height is None else height
        if first is None:
            raise SourceUnavailableError(
                "no source has the first block to scan",
                field="TRACKER_BITCOIN_START_HEIGHT",
                value=height,
                mend="choose a height that a source has",
            )
        found = scan(self._pool.block(first), frozenset(), frozenset())
        with self._database.transaction() as session:
            ledger.start_cursor(session, CHAIN, height - 1, found.header.parent, self._clock())
        log.info("scan_starts", chain=CHAIN, height=height)

    # -- one block ---------------------------------------------------------------------------------

    def _check(self, scanned: BlockScan, height: int, asked: bytes) -> BlockRef:
        if self._settings.bitcoin_checks == "trusted":
            return scanned.ref(height)
        with self._database.transaction(snapshot=True) as session:
            previous = ledger.ancestor(session, CHAIN, height - 1, scanned.header.parent)
            epoch = ledger.ancestor(session, CHAIN, height - EPOCH_BLOCKS)
        return check_scan(
            scanned,
            height=height,
            network=self._settings.bitcoin_network,
            asked=asked,
            previous=previous,
            epoch_start=epoch,
        )

    def _apply(self, scanned: BlockScan, block: BlockRef, watch: WatchState) -> int:
        """One block, one transaction; returns how many alerts it touched."""
        now = self._clock()
        with self._database.transaction() as session:
            if registry.lock_watch_set(session, CHAIN) != watch.version:
                raise StaleWatchSetError(
                    "the watch set changed",
                    field="chain",
                    value=CHAIN,
                    mend="the block is scanned again with the new set",
                )
            followed = ledger.followed_count(session, CHAIN, block.height)
            room = self._settings.follow_max_outpoints - followed
            reading = read_block(
                session,
                scanned,
                block,
                watch_version=watch.version,
                scripts=watch.scripts,
                source=self._pool.served_by(block.hash) or self._pool.name,
                options=ReadingOptions(self._settings.follow_blocks, room, self._address_of),
            )
            if not apply_block(session, CHAIN, reading.effects, now):
                return 0
            told = chain_sales.judge(
                session,
                reading.sales(),
                chain=CHAIN,
                network=self._settings.bitcoin_network,
                news=self._news,
                now=now,
            )
            for sweep in reading.sweeps:
                ledger.believe(session, sweep.origin.id, sweep.belief)
            told += forks.settle(session, CHAIN, block, news=self._news, now=now)
            told += chain_sales.close_quiet(session, CHAIN, block.time, news=self._news, now=now)
            final = block.height - FINAL_DEPTH + 1
            ledger.set_final(session, CHAIN, final)
            alerts.mark_final(session, CHAIN, final)
        self._moved_on(watch, reading)
        if told:
            self._doorbell.ring(PUBLISH)
        return told

    @staticmethod
    def _moved_on(watch: WatchState, reading: BlockReading) -> None:
        """What the database now holds, without asking it again."""
        effects = reading.effects
        watch.cursor_hash = effects.block.hash
        watch.outpoints.update(coin.outpoint for coin in effects.made)
        watch.outpoints.update(coin.outpoint for coin in effects.followed)
        watch.outpoints.difference_update(effects.spent)

    # -- forks -------------------------------------------------------------------------------------

    def _follow_fork(self, local: list[BlockRef]) -> int:
        """Roll back to the newest block that the source shares; returns how many were orphaned."""
        fork = fork_point(local, self._pool.block_hash)
        now = self._clock()
        if fork is None:
            error = DeepForkError(
                "the source shares none of our recent blocks",
                field="height",
                value=local[0].height,
                mend="check the source; a person has to decide",
            )
            self._halt(error)
            raise error
        if fork.hash == local[-1].hash:
            return 0
        try:
            with self._database.transaction() as session:
                registry.lock_watch_set(session, CHAIN)
                hashes = roll_back(session, CHAIN, fork, now)
                forks.suspend(session, CHAIN, hashes, news=self._news, now=now)
        except DeepForkError as error:
            self._halt(error)
            raise
        self._watch = None
        log.warning("chain_forked", chain=CHAIN, fork=fork.height, orphaned=len(hashes))
        return len(hashes)

    def _halt(self, error: DeepForkError) -> None:
        with self._database.transaction() as session:
            ledger.halt(session, CHAIN, str(error))

    # -- what is known -----------------------------------------------------------------------------

    def _local(self, limit: int = FINAL_DEPTH + 1) -> list[BlockRef]:
        with self._database.transaction(snapshot=True) as session:
            cursor = ledger.cursor_of(session, CHAIN)
            if cursor is None:
                return []
            if cursor.halted is not None:
                raise DeepForkError(
                    "this chain is halted",
                    field="chain",
                    value=cursor.halted,
                    mend="check the sources; then clear the halt (docs/operations.md)",
                )
            blocks = ledger.recent_blocks(session, CHAIN, limit)
            if blocks:
                return blocks if len(blocks) == limit else [*_below(blocks[0]), *blocks]
            # Nothing was applied yet: the cursor stands on the parent of the first block.
            return [BlockRef(cursor.height, cursor.hash, b"", cursor.tip_advanced_at)]

    def _height(self) -> int | None:
        with self._database.transaction() as session:
            cursor = ledger.cursor_of(session, CHAIN)
            return None if cursor is None else cursor.height

    def _watch_state(self, head: BlockRef) -> WatchState:
        if self._watch is None or self._watch.cursor_hash != head.hash:
            self._watch = None  # two sets of a million would not fit beside each other
            with self._database.transaction(snapshot=True) as session:
                self._watch = load_watch(session, CHAIN, head.height, head.hash)
        return self._watch


def _below(first: BlockRef) -> list[BlockRef]:
    """The block under the first one applied: a fork may reach down to it, though it is not ours."""
    if first.height == 0:
        return []
    return [BlockRef(first.height - 1, first.parent, b"", first.time)]


def _unlinked(block: BlockRef, head: BlockRef) -> InvalidBlockError:
    return InvalidBlockError(
        "the header does not link to the block below it",
        field=f"header at {block.height}",
        value=block.parent.hex(),
        mend=f"it should name {head.hash.hex()} as its parent",
    )
