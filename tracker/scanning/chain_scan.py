"""The tip tick of a chain: compare with the source, apply blocks, follow reorganisations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol

from sqlmodel import Session

from tracker.chains.pool import Agreement
from tracker.config import Settings
from tracker.db import Database
from tracker.detection import chain_sales, forks
from tracker.detection import repository as alerts
from tracker.detection.news import NewsPolicy
from tracker.domain.chain import (
    Behind,
    BlockRef,
    Fork,
    Gap,
    Same,
    Tip,
    fork_point,
    reconcile,
)
from tracker.doorbell import BACKFILL, PUBLISH, Doorbell
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
from tracker.registry.descriptors import Widened
from tracker.scanning.reading import BlockReading
from tracker.scanning.repository import WatchState, load_watch, scan_lease

log = get_logger(__name__)
Clock = Callable[[], datetime]


class ChainPool(Protocol):
    """The sources of a chain, as one."""

    @property
    def name(self) -> str:
        """The names of its sources."""

    def stand_on(self, branch: Iterable[BlockRef]) -> None:
        """The ledger's newest blocks, newest last."""

    def tip(self) -> Tip:
        """The newest block of the best source."""

    def agreement(self, height: int, block_hash: bytes) -> Agreement:
        """How many sources have this block."""

    def block_hash(self, height: int) -> bytes | None:
        """The hash at `height`; None where the chain has none there (yet)."""

    def first_height(self) -> int | None:
        """Where a scan should begin by itself; None: at the tip."""

    def served_by(self, block_hash: bytes) -> str | None:
        """The source that a block came from."""

    def accuse(self, block_hash: bytes, error: InvalidBlockError) -> None:
        """Put aside the source that sent a block which cannot be."""


@dataclass(frozen=True, slots=True)
class TickReport:
    """What one tick did. `more` asks for another one at once: the tip is still ahead."""

    applied: int = 0
    orphaned: int = 0
    alerts: int = 0
    height: int | None = None
    more: bool = False
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A block that was fetched and verified; `content` is what its chain's reading needs.

    `touched`: whether anything in it concerns a watched address.
    """

    block: BlockRef
    content: Any
    touched: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """Heights up to which the chain is final and safe, the heights themselves included."""

    final: int
    safe: int


class ChainScan(ABC):
    """Follows one chain; keeps the watch set in memory between ticks."""

    chain: ClassVar[str]
    widens: ClassVar[bool] = False

    def __init__(
        self,
        database: Database,
        pool: ChainPool,
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

    # -- what differs between chains ---------------------------------------------------------------

    @property
    @abstractmethod
    def network(self) -> str:
        """The network of the chain."""

    @property
    @abstractmethod
    def max_blocks(self) -> int:
        """How many blocks one tick applies at most."""

    @property
    @abstractmethod
    def start_height(self) -> int | None:
        """The configured first block; None where none is."""

    @property
    @abstractmethod
    def window(self) -> int:
        """How many of our newest blocks are compared with a source at least."""

    @abstractmethod
    def first_block(self, block_hash: bytes, height: int) -> BlockRef:
        """The block at which the scan starts, as a source has it."""

    @abstractmethod
    def fetch(self, height: int, block_hash: bytes, watch: WatchState) -> Candidate:
        """Fetch and verify a block; raises `InvalidBlockError` for one that cannot be."""

    @abstractmethod
    def read(self, session: Session, candidate: Candidate, watch: WatchState) -> BlockReading:
        """What the block changes, with the facts and prices of its own time."""

    @abstractmethod
    def settled(self, head: BlockRef) -> Settled:
        """How far the chain is settled under `head`; asked outside of any transaction."""

    def begin(self) -> None:  # noqa: B027  a hook: most chains keep nothing between ticks
        """Forget what was true of the last tick only."""

    def widen(self, session: Session, reading: BlockReading, now: datetime) -> Widened | None:
        """Watch from the next block on what an applied block calls for; only if `widens`."""
        return None

    # -- the tick ----------------------------------------------------------------------------------

    def tick(self) -> TickReport:
        """Bring the ledger towards the source's tip, at most the configured blocks at once.

        Raises `SourceUnavailableError` where no source answers and `DeepForkError` where the chain
        was halted; any block that was committed before stays.
        """
        with scan_lease(self._database, self.chain) as mine:
            if not mine:
                return TickReport(skipped="another worker scans this chain")
            return self._tick()

    def _tick(self) -> TickReport:
        self.begin()
        local = self._local()
        self._pool.stand_on(local)
        tip = self._pool.tip()
        if not local:
            self._start(tip)
            local = self._local()
        orphaned = 0
        verdict = reconcile(local, tip)
        if isinstance(verdict, Fork):
            if tip.height <= local[-1].height:
                # No longer than ours: a source that flaps, or a race that the next block decides.
                return TickReport(height=local[-1].height)
            orphaned = self._follow_fork(local)
            local = self._local()
            verdict = reconcile(local, tip)
        if isinstance(verdict, Same | Behind | Fork):
            return TickReport(orphaned=orphaned, height=self._height())
        last = verdict.last if isinstance(verdict, Gap) else verdict.height
        return self._advance(last, orphaned)

    def _advance(self, last: int, orphaned: int) -> TickReport:
        applied = told = 0
        head = self._local(1)[-1]
        while applied < self.max_blocks and head.height < last:
            found = self._pool.block_hash(head.height + 1)
            if found is None:
                break  # the source took the block back, or lacks it: the next tick looks again
            watch = self._watch_state(head)
            try:
                candidate = self.fetch(head.height + 1, found, watch)
            except InvalidBlockError as error:
                self._pool.accuse(found, error)
                log.warning("block_refused", chain=self.chain, hash=found.hex(), error=str(error))
                continue
            block = candidate.block
            if block.parent != head.hash:
                undone = self._follow_fork(self._local())
                if not undone:
                    # The source shares our newest block, yet its next one stands on another.
                    self._pool.accuse(found, _unlinked(block, head))
                orphaned += undone
                head = self._local(1)[-1]
                continue
            try:
                told += self._apply(candidate, watch)
            except StaleWatchSetError:
                self._watch = None
                continue
            applied += 1
            head = block
        return TickReport(applied, orphaned, told, head.height, more=head.height < last)

    # -- the start ---------------------------------------------------------------------------------

    def _start(self, tip: Tip) -> None:
        """Begin at the configured height, at a folder's first block, or at the tip."""
        height = self.start_height
        if height is None:
            height = self._pool.first_height()
        first = tip.hash if height is None else self._pool.block_hash(height)
        height = tip.height if height is None else height
        if first is None:
            raise SourceUnavailableError(
                "no source has the first block to scan",
                field=f"TRACKER_{self.chain.upper()}_START_HEIGHT",
                value=height,
                mend="choose a height that a source has",
            )
        block = self.first_block(first, height)
        with self._database.transaction() as session:
            ledger.start_cursor(session, self.chain, height - 1, block.parent, self._clock())
        log.info("scan_starts", chain=self.chain, height=height)

    # -- one block ---------------------------------------------------------------------------------

    def _apply(self, candidate: Candidate, watch: WatchState) -> int:
        """One block, one transaction; returns how many alerts it touched."""
        now, block = self._clock(), candidate.block
        settled = self.settled(block)
        agreement = self._agreement(candidate)
        with self._database.transaction() as session:
            held = registry.lock_watch_set(session, self.chain, to_bump=self.widens)
            if held != watch.version:
                raise StaleWatchSetError(
                    "the watch set changed",
                    field="chain",
                    value=self.chain,
                    mend="the block is scanned again with the new set",
                )
            reading = self.read(session, candidate, watch)
            if not apply_block(session, self.chain, reading.effects, now):
                return 0
            widened = self.widen(session, reading, now)
            told = chain_sales.judge(
                session,
                reading.sales(),
                chain=self.chain,
                network=self.network,
                news=self._news,
                now=now,
                agree=agreement.agree,
                asked=agreement.asked,
            )
            for sweep in reading.sweeps:
                ledger.believe(session, sweep.origin.id, sweep.belief)
            told += forks.settle(session, self.chain, block, news=self._news, now=now)
            told += chain_sales.close_quiet(
                session, self.chain, block.time, news=self._news, now=now
            )
            ledger.set_final(session, self.chain, settled.final, settled.safe)
            alerts.mark_final(session, self.chain, settled.final)
        self._moved_on(watch, reading, widened)
        if told:
            self._doorbell.ring(PUBLISH)
        if widened is not None:
            self._doorbell.ring(BACKFILL)  # what the new addresses hold is unknown until opened
        return told

    def _agreement(self, candidate: Candidate) -> Agreement:
        """How many sources have the block, asked only where something may rest on it."""
        if candidate.touched:
            found = self._pool.agreement(candidate.block.height, candidate.block.hash)
            if found.asked:
                return found
        return Agreement(1, 1)  # the source that served it

    @staticmethod
    def _moved_on(watch: WatchState, reading: BlockReading, widened: Widened | None) -> None:
        """What the database now holds, without asking it again."""
        effects = reading.effects
        watch.cursor_hash = effects.block.hash
        watch.outpoints.update(coin.outpoint for coin in effects.made)
        watch.outpoints.update(coin.outpoint for coin in effects.followed)
        watch.outpoints.difference_update(effects.spent)
        if widened is not None:
            watch.version = widened.version
            watch.scripts.update(widened.keys)

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
                registry.lock_watch_set(session, self.chain)
                hashes = roll_back(session, self.chain, fork, now)
                forks.suspend(session, self.chain, hashes, news=self._news, now=now)
        except DeepForkError as error:
            self._halt(error)
            raise
        self._watch = None
        log.warning("chain_forked", chain=self.chain, fork=fork.height, orphaned=len(hashes))
        return len(hashes)

    def _halt(self, error: DeepForkError) -> None:
        with self._database.transaction() as session:
            ledger.halt(session, self.chain, str(error))

    # -- what is known -----------------------------------------------------------------------------

    def _local(self, limit: int | None = None) -> list[BlockRef]:
        with self._database.transaction(snapshot=True) as session:
            cursor = ledger.cursor_of(session, self.chain)
            if cursor is None:
                return []
            if cursor.halted is not None:
                raise DeepForkError(
                    "this chain is halted",
                    field="chain",
                    value=cursor.halted,
                    mend=f"check the sources, then: tracker chains resume {self.chain}",
                )
            if limit is None:  # every block that may still be orphaned, and the final one below
                limit = max(self.window, cursor.height - max(cursor.final_height, 0) + 1)
                limit = min(limit, _LONGEST_WINDOW)
            blocks = ledger.recent_blocks(session, self.chain, limit)
            if blocks:
                return blocks if len(blocks) == limit else [*_below(blocks[0]), *blocks]
            # Nothing was applied yet: the cursor stands on the parent of the first block.
            return [BlockRef(cursor.height, cursor.hash, b"", cursor.tip_advanced_at)]

    def _height(self) -> int | None:
        with self._database.transaction() as session:
            cursor = ledger.cursor_of(session, self.chain)
            return None if cursor is None else cursor.height

    def _watch_state(self, head: BlockRef) -> WatchState:
        if self._watch is None or self._watch.cursor_hash != head.hash:
            self._watch = None  # two sets of a million would not fit beside each other
            with self._database.transaction(snapshot=True) as session:
                self._watch = load_watch(session, self.chain, head.height, head.hash)
        return self._watch


_LONGEST_WINDOW = 2_000


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
