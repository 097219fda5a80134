"""Several sources of a chain as one: the preferred that is well answers; who fails or lies waits.

`Members` asks the sources, `StickyHead` says which tip is believed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Generic

from tracker.chains.head import StickyHead
from tracker.chains.health import FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS
from tracker.chains.limits import Rate, rate_of
from tracker.chains.members import Answer, Clocks, Member, Members, S, SourceState, Words
from tracker.chains.port import BitcoinSource, PartialSource
from tracker.chains.provenance import Provenance
from tracker.domain.chain import BlockRef, Tip
from tracker.errors import InvalidBlockError, SourceUnavailableError
from tracker.log import get_logger

__all__ = [
    "FIRST_WAIT_SECONDS", "MAX_WAIT_SECONDS", "Agreement", "BitcoinPool", "SourcePool",
    "SourceState", "Words",
]

LAG_BLOCKS = 2  # a source further behind than this is lagging
# The others are asked for their tip too, one of them with a tip of ours: a feed can die silently.
LOOK_SECONDS = 60.0
PROVE_LOOK_SECONDS = 15.0  # one that has to prove itself

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many of the sources that answered have a block."""

    agree: int
    asked: int

    @property
    def most(self) -> bool:
        """Whether more than half of them have it."""
        return 2 * self.agree > self.asked


class SourcePool(Generic[S]):
    """The configured sources of a chain in their order of preference, behind the port of one.

    Safe to share between threads as far as the sources are.
    """

    kind = "pool"
    words: ClassVar[Words]

    def __init__(
        self, sources: Sequence[S], *, network: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        timer: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
        rate: Callable[[str], Rate] = rate_of, lag_blocks: int = LAG_BLOCKS,
    ) -> None:
        """`now` is the clock; `timer` measures latencies, and `sleep` waits, in seconds.

        `rate` gives the limit for a kind of source. Raises `ConfigError` where `sources` is empty.
        """
        self._members = Members(
            sources, words=self.words, network=network, clocks=Clocks(now, timer, sleep), rate=rate
        )
        self._lag_blocks = lag_blocks
        self._head = StickyHead()
        self._origins: Provenance[Member[S]] = Provenance()
        self._lock = self._members.lock

    @property
    def name(self) -> str:
        """The names of its sources."""
        return ", ".join(member.source.name for member in self._members.all)

    def network(self) -> str | None:
        """The network that the sources were checked against."""
        return self._members.network

    def first_height(self) -> int | None:
        """Where a scan should begin by itself: the first block of a folder, None for a whole node.

        Only a source that holds part of the chain says so; the first one configured decides.
        """
        source = self._members.all[0].source
        return source.first_height() if isinstance(source, PartialSource) else None

    def offers(self, ability: type) -> bool:
        """Whether any of the sources has a further port (a runtime-checkable protocol)."""
        return any(isinstance(member.source, ability) for member in self._members.all)

    def states(self) -> list[SourceState]:
        """How each source does, in the configured order."""
        with self._lock:
            return [member.state for member in self._members.all]

    def stand_on(self, branch: Iterable[BlockRef]) -> None:
        """Tell the ledger's newest blocks, newest last, before asking for the tip.

        Without it the pool goes by what it told and fetched itself, which another process may have
        overtaken.
        """
        with self._lock:
            self._head.stand_on(branch)

    def tip(self) -> Tip:
        """The newest block of the preferred source that is well, on our branch or above it.

        Another branch no higher than ours is told only once most sources that answer have stood on
        it for a while; until then our head is told again.
        """
        asked: set[int] = set()
        found = self._believed_tip(asked)
        self._look(asked)
        return found

    def _believed_tip(self, asked: set[int]) -> Tip:
        lagging: Tip | None = None
        rivals: list[Tip] = []
        for member, found in self._members.answers(lambda source: source.tip(), of_tip=True):
            asked.add(member.index)
            with self._lock:
                if self._stands_against(member, found):
                    rivals.append(found)
                elif member.health.state == "lagging":
                    lagging = lagging or found
                else:
                    if rivals:  # it is on our branch, and the one preferred so far is not
                        self._members.preference.change(member.index, self._members.now())
                    self._head.follow(found)
                    return found
        if lagging is not None:  # what they say is still true, only old
            with self._lock:
                self._head.follow(lagging)
            return lagging
        if rivals:
            return self._contest(rivals)
        raise self._members.none_left()

    def _stands_against(self, member: Member[S], found: Tip) -> bool:
        """Note a source's tip; whether it is on another branch that is no higher than ours."""
        member.health.height = found.height
        best = self._best_height()
        for health in self._members.healths:
            health.placed(self._members.now(), best, self._lag_blocks)
        if self._head.standing(found) != "rival":
            return False
        member.health.doubted(self._members.now())
        return True

    def _best_height(self) -> int | None:
        """The best height that is believed: of three and more, one that two of them have reached.

        One source alone can then not make all others look late by a mere number.
        """
        known = [
            health.height for health in self._members.healths
            if health.height is not None and health.state != "lying"
        ]
        known.sort(reverse=True)
        if len(known) >= 3:
            return known[1]
        return known[0] if known else None

    def _contest(self, rivals: list[Tip]) -> Tip:
        """Nobody who answers is on our branch: the head again, or the rival if it has lasted."""
        rival = Counter(rivals).most_common(1)[0][0]
        found = self.agreement(rival.height, rival.hash)
        with self._lock:
            lasted = self._head.challenge(rival if found.most else None, self._members.now())
            if not lasted and self._head.tip is not None:
                return self._head.tip
            self._head.follow(rival)
        log.warning(
            "branch_changed", chain=self.words.chain, height=rival.height,
            hash=rival.hash.hex(), agree=found.agree, asked=found.asked,
        )
        return rival

    def _look(self, asked: set[int]) -> None:
        """Ask one of the others for its tip where that is due: to come back, or to be compared."""
        now = self._members.now()

        def due_at(member: Member[S]) -> datetime:
            if member.health.next_try is not None:
                return member.health.next_try
            seconds = LOOK_SECONDS if member.health.proved(now) else PROVE_LOOK_SECONDS
            return member.looked_at + timedelta(seconds=seconds)

        others = [member for member in self._members.all if member.index not in asked]
        with self._lock:
            due = min((m for m in others if due_at(m) <= now), key=due_at, default=None)
        if due is None:
            return
        answered = self._members.attempt(due, lambda source: source.tip(), of_tip=True)
        if answered is not None:
            with self._lock:
                self._stands_against(due, answered.value)

    def block_hash(self, height: int) -> bytes | None:
        """The hash at `height` by the first source that has one there."""
        answered = False
        for member, found in self._members.answers(lambda source: source.block_hash(height)):
            if found is not None:
                with self._lock:
                    self._origins.named(found, member, height)
                return found
            answered = True
        if answered:
            return None
        raise self._members.none_left()

    def agreement(self, height: int, block_hash: bytes) -> Agreement:
        """How many sources have this block at `height`, of those that answer now.

        Each is asked once at most; one that is put aside, fails, or has to be waited for too long
        is not counted; one that has no block there (yet) is.
        """
        agree = asked = 0
        for member in self._members.all:
            if member.health.circuit(self._members.now()) != "closed":
                continue
            found = self._members.attempt(member, lambda source: source.block_hash(height))
            if found is not None:
                asked += 1
                agree += found.value == block_hash
        return Agreement(agree, asked)

    def ask(self, call: Callable[[S], Answer]) -> Answer:
        """What the first source that can answer says to `call`.

        Raises `SourceUnavailableError` where none can, and whatever else `call` raises that is no
        matter of one source.
        """
        for _, answer in self._members.answers(call):
            return answer
        raise self._members.none_left()

    def serve(self, block_hash: bytes, call: Callable[[S], Answer]) -> Answer:
        """As `ask`, for the content of a block: `served_by` and `accuse` know whose it was."""
        for member, answer in self._members.answers(call):
            with self._lock:
                height = self._origins.served(block_hash, member)
                if height is not None:
                    self._head.learn(height, block_hash)
            return answer
        self._withheld(block_hash)
        raise self._members.none_left()

    def served_by(self, block_hash: bytes) -> str | None:
        """The name of the source that a block came from; None where that is not remembered."""
        with self._lock:
            member = self._origins.served_by(block_hash)
        return None if member is None else member.source.name

    def accuse(self, block_hash: bytes, error: InvalidBlockError) -> None:
        """Put aside the source that sent a block whose scan failed, so that another is asked.

        Its next honest answer does not wash this off: each such block doubles the wait.
        """
        with self._lock:
            member = self._origins.served_by(block_hash)
            self._origins.forget(block_hash)
            self._head.forget(block_hash)
        if member is not None:
            self._members.accuse(member, error)

    def _withheld(self, block_hash: bytes) -> None:
        """A block that a source named is nowhere to be had: after some times it is not believed."""
        with self._lock:
            namer = self._origins.withheld(block_hash)
            if namer is None or namer.health.circuit(self._members.now()) != "closed":
                return
            namer.health.height = None  # nor its word for how high the chain is
        error = SourceUnavailableError(
            f"{namer.source.name} names a block that no source has", field="block",
            value=block_hash.hex(), mend="it is tried again by itself",
        )
        self._members.put_aside(namer, error)


class BitcoinPool(SourcePool[BitcoinSource]):
    """The configured Bitcoin sources, as one."""

    words = Words(
        "Bitcoin", "TRACKER_BITCOIN_SOURCES", "TRACKER_BITCOIN_NETWORK",
        "esplora+https://…, core+http://… or files:/folder",
    )

    def block(self, block_hash: bytes) -> bytes:
        """The block from the first source that has it. `served_by` and `accuse` know whose it was.

        Raises `SourceUnavailableError` where no source has it now.
        """
        return self.serve(block_hash, lambda source: source.block(block_hash))
