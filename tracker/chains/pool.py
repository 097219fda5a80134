"""Several Bitcoin sources as one: the first that is well answers; who fails or lies waits.

States, as `/sources` shows them: `ok`; `lagging` (behind what another source showed);
`unreachable`; `paused` (it asked us to slow down); `lying` (it sent what cannot be: a forged or
foreign block, a web page, another chain).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar

from tracker.chains.port import BitcoinSource, PartialSource
from tracker.domain.chain import Tip
from tracker.errors import (
    ConfigError,
    InvalidBlockError,
    NotFoundError,
    ReplyError,
    SourceUnavailableError,
    TrackerError,
)
from tracker.log import get_logger, mask

State = Literal["ok", "lagging", "unreachable", "lying", "paused"]
Answer = TypeVar("Answer")

FIRST_WAIT_SECONDS = 5.0
MAX_WAIT_SECONDS = 600.0
LAG_BLOCKS = 2  # a source further behind than this is lagging
_REMEMBERED_BLOCKS = 256

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SourceState:
    """How one source does. Unknown is None: nothing was asked of it yet, or nothing is wrong."""

    name: str
    kind: str
    state: State
    height: int | None
    latency_ms: int | None
    last_ok: datetime | None
    last_error: str | None
    next_try: datetime | None


@dataclass(slots=True)
class _Member:
    source: BitcoinSource
    state: State = "ok"
    known_network: bool = False
    failures: int = 0
    lies: int = 0  # blocks of it whose scan failed
    height: int | None = None
    latency_ms: int | None = None
    last_ok: datetime | None = None
    last_error: str | None = None
    next_try: datetime | None = None


class SourcePool:
    """The configured sources in their order of preference, behind the port of one."""

    kind = "pool"

    def __init__(
        self, sources: Sequence[BitcoinSource], *, network: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`now` is the clock. Raises `ConfigError` where `sources` is empty."""
        if not sources:
            raise ConfigError(
                "no Bitcoin source is configured", field="TRACKER_BITCOIN_SOURCES",
                mend="name at least one: esplora+https://…, core+http://… or files:/folder",
            )
        self._members = [_Member(source) for source in sources]
        self._network = network
        self._now = now
        self._served: OrderedDict[bytes, _Member] = OrderedDict()

    @property
    def name(self) -> str:
        """The names of its sources."""
        return ", ".join(member.source.name for member in self._members)

    def tip(self) -> Tip:
        """The tip of the first source that is well and not behind the others."""
        lagging: Tip | None = None
        for member, tip in self._answers(lambda source: source.tip()):
            member.height = tip.height
            best = max(other.height or 0 for other in self._members if other.state != "lying")
            if tip.height >= best - LAG_BLOCKS:
                member.state = "ok"
                return tip
            member.state = "lagging"
            lagging = lagging or tip
        if lagging is not None:  # all that answer lag: what they say is still true, only old
            return lagging
        raise self._none_left()

    def block_hash(self, height: int) -> bytes | None:
        """The hash at `height` by the first source that has one there."""
        answered = False
        for _, found in self._answers(lambda source: source.block_hash(height)):
            if found is not None:
                return found
            answered = True
        if answered:
            return None
        raise self._none_left()

    def block(self, block_hash: bytes) -> bytes:
        """The block from the first source that has it. `served_by` and `accuse` know whose it was.

        Raises `SourceUnavailableError` where no source has it now.
        """
        for member, raw in self._answers(lambda source: source.block(block_hash)):
            self._served[block_hash] = member
            self._served.move_to_end(block_hash)
            if len(self._served) > _REMEMBERED_BLOCKS:
                self._served.popitem(last=False)
            return raw
        raise self._none_left()

    def first_height(self) -> int | None:
        """Where a scan should begin by itself: the first block of a folder, None for a whole node.

        Only a source that holds part of the chain says so; the first one configured decides.
        """
        source = self._members[0].source
        return source.first_height() if isinstance(source, PartialSource) else None

    def network(self) -> str | None:
        """The network that the sources were checked against."""
        return self._network

    def served_by(self, block_hash: bytes) -> str | None:
        """The name of the source that a block came from; None where that is not remembered."""
        member = self._served.get(block_hash)
        return None if member is None else member.source.name

    def accuse(self, block_hash: bytes, error: InvalidBlockError) -> None:
        """Put aside the source that sent a block whose scan failed, so that another is asked."""
        member = self._served.pop(block_hash, None)
        if member is not None:
            # Its next honest answer does not wash this off: each such block doubles the wait.
            member.failures = member.lies
            member.lies += 1
            self._put_aside(member, "lying", error, None)

    def states(self) -> list[SourceState]:
        """How each source does, in order of preference."""
        return [
            SourceState(
                member.source.name, member.source.kind, member.state, member.height,
                member.latency_ms, member.last_ok, member.last_error, member.next_try,
            )
            for member in self._members
        ]

    def _answers(self, ask: Callable[[BitcoinSource], Answer]) -> Iterator[tuple[_Member, Answer]]:
        """What the sources that may be asked answer, in order; the others are put aside."""
        for member in self._members:
            if member.next_try is not None and self._now() < member.next_try:
                continue
            started = time.monotonic()
            try:
                self._check_network(member)
                answer = ask(member.source)
            except NotFoundError as error:  # it lags or has pruned it: no reason to shun it
                member.last_error = mask(str(error))
                continue
            except SourceUnavailableError as error:
                paused = error.retry_after is not None
                self._put_aside(
                    member, "paused" if paused else "unreachable", error, error.retry_after
                )
                continue
            except (InvalidBlockError, ReplyError) as error:
                self._put_aside(member, "lying", error, None)
                continue
            except ConfigError as error:
                self._put_aside(member, "unreachable", error, None)
                continue
            member.latency_ms = round((time.monotonic() - started) * 1000)
            member.last_ok = self._now()
            member.failures = 0
            member.next_try = None
            if member.state != "lagging":
                member.state = "ok"
            member.last_error = None
            yield member, answer

    def _check_network(self, member: _Member) -> None:
        """At first use: a source of another chain is refused, whatever it offers."""
        if member.known_network:
            return
        network = member.source.network()
        if network is not None and network != self._network:
            raise ReplyError(
                f"{member.source.name} is of the wrong chain", field="network", value=network,
                mend=f"give a source of {self._network}, or set TRACKER_BITCOIN_NETWORK",
            )
        member.known_network = network is not None

    def _put_aside(
        self, member: _Member, state: State, error: TrackerError, wait: float | None
    ) -> None:
        member.failures += 1
        backoff = min(FIRST_WAIT_SECONDS * 2 ** min(member.failures - 1, 20), MAX_WAIT_SECONDS)
        seconds = backoff if wait is None else max(wait, FIRST_WAIT_SECONDS)
        member.state = state
        member.last_error = mask(str(error))
        member.next_try = self._now() + timedelta(seconds=seconds)
        log.warning(
            "source_put_aside", source=member.source.name, state=state, seconds=seconds,
            error=member.last_error,
        )

    def _none_left(self) -> SourceUnavailableError:
        waits = [
            (member.next_try - self._now()).total_seconds()
            for member in self._members if member.next_try is not None
        ]
        said = "; ".join(
            f"{member.source.name}: {member.last_error}"
            for member in self._members if member.last_error
        )
        return SourceUnavailableError(
            "no Bitcoin source can answer now", retry_after=max(0.0, min(waits)) if waits else None,
            field="TRACKER_BITCOIN_SOURCES", value=said or None,
            mend="it is tried again by itself; add a source to depend on no single one",
        )
