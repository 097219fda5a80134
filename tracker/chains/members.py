"""The sources of a pool: each asked within its limits, put aside when it fails, tried again.

Which one is asked first is `Preference`, how one does is `Health`, how often it may be asked
`limits`; here they meet the sources.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from tracker.chains.health import Health, State
from tracker.chains.limits import Rate, TokenBucket, rate_of
from tracker.chains.port import ChainSource, SlowDownError
from tracker.chains.preference import Preference
from tracker.errors import (
    ConfigError,
    InvalidBlockError,
    NotFoundError,
    ReplyError,
    SourceUnavailableError,
)
from tracker.log import get_logger, mask

S = TypeVar("S", bound=ChainSource)
Answer = TypeVar("Answer")

LIMIT_WAIT_SECONDS = 2.0  # longer than this nobody waits for a source's turn
_NETWORK_AGAIN = timedelta(seconds=60)  # for one that could not tell its network

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


@dataclass(frozen=True, slots=True)
class Words:
    """How a pool names its chain and its settings in errors."""

    chain: str
    setting: str
    network_setting: str
    example: str


@dataclass(frozen=True, slots=True)
class Clocks:
    """The times of a pool: `now` aware UTC; `timer` and what `sleep` takes in seconds."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    timer: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Answered(Generic[Answer]):
    """What a source said; None may be said too."""

    value: Answer


@dataclass(slots=True, eq=False)
class Member(Generic[S]):
    """One source of a pool."""

    index: int
    source: S
    bucket: TokenBucket
    looked_at: datetime  # when its tip was asked for last
    health: Health = field(default_factory=Health)
    network_known: bool = False
    network_asked_at: datetime | None = None

    @property
    def state(self) -> SourceState:
        """How it does, for people."""
        health = self.health
        return SourceState(
            self.source.name, self.source.kind, health.state, health.height,
            None if health.latency is None else round(health.latency * 1000), health.last_ok,
            health.last_error, health.next_try,
        )

    @property
    def said(self) -> str:
        """What it said last, without the mend, and when it is tried again."""
        health = self.health
        why = (health.last_error or "does not have it").partition("; mend: ")[0]
        later = f", next try {health.next_try:%Y-%m-%d %H:%M:%S}Z" if health.next_try else ""
        return f"{self.source.name} ({health.state}{later}): {why}"


class Members(Generic[S]):
    """The sources in their configured order. `lock` guards what is known, never a question."""

    def __init__(
        self, sources: Sequence[S], *, words: Words, network: str, clocks: Clocks,
        rate: Callable[[str], Rate] = rate_of,
    ) -> None:
        """`rate` gives the limit for a kind of source. Raises `ConfigError` without `sources`."""
        if not sources:
            raise ConfigError(
                f"no {words.chain} source is configured", field=words.setting,
                mend=f"name at least one: {words.example}",
            )
        self.all = [
            Member(index, source, TokenBucket(rate(source.kind), clocks.timer), clocks.now())
            for index, source in enumerate(sources)
        ]
        self.healths = [member.health for member in self.all]
        self.preference = Preference()
        self.network = network
        self.lock = threading.RLock()
        self._words, self._clocks = words, clocks

    def now(self) -> datetime:
        """The time by the pool's clock."""
        return self._clocks.now()

    def answers(
        self, call: Callable[[S], Answer], *, of_tip: bool = False
    ) -> Iterator[tuple[Member[S], Answer]]:
        """What the sources that may be asked answer, in order; those that fail are put aside."""
        with self.lock:
            order = self.preference.order(self.healths, self.now())
        for index in order:
            member = self.all[index]
            answered = self.attempt(member, call, of_tip=of_tip)
            if answered is None:
                continue
            with self.lock:
                self.preference.served(index, self.healths, self.now())
                if of_tip and index == self.preference.current:
                    self.preference.timed(self.healths)
            yield member, answered.value

    def attempt(
        self, member: Member[S], call: Callable[[S], Answer], *, of_tip: bool = False
    ) -> Answered[Answer] | None:
        """Ask one source, within its limits; None where it did not answer, which its health says.

        Only the latencies of tips are kept, to compare like with like. An error of `call` that is
        no matter of the source goes through.
        """
        wait = member.bucket.take(LIMIT_WAIT_SECONDS)
        if wait is None:
            return None
        if wait:
            self._clocks.sleep(wait)
        health = member.health
        with self.lock:
            if not health.may_ask(self.now()):
                return None
            trial = health.begin(self.now())
            if of_tip:
                member.looked_at = self.now()
        try:
            self._check_network(member)
            started = self._clocks.timer()
            value = call(member.source)
            seconds = self._clocks.timer() - started
        except NotFoundError as error:  # it lags or has pruned it: no reason to shun it
            with self.lock:
                health.lacked(self.now(), mask(str(error)))
        except InvalidBlockError as error:
            self.accuse(member, error)
        except (SourceUnavailableError, ReplyError, ConfigError) as error:
            self.put_aside(member, error)
        else:
            with self.lock:
                health.answered(self.now())
                if of_tip:
                    health.timed(seconds)
            return Answered(value)
        finally:
            if trial:
                with self.lock:
                    health.end()
        return None

    def put_aside(
        self, member: Member[S], error: SourceUnavailableError | ReplyError | ConfigError
    ) -> None:
        """Leave a source alone for a while: for each failure in a row twice as long."""
        state: State = "unreachable"
        wait: float | None = None
        if isinstance(error, ReplyError):
            state = "lying"
        elif isinstance(error, SourceUnavailableError):
            wait = error.retry_after
            if wait is not None or isinstance(error, SlowDownError):
                state = "paused"
        with self.lock:
            if state == "unreachable":  # what comes back may be another node
                member.network_known, member.network_asked_at = False, None
            seconds = member.health.failed(self.now(), state, mask(str(error)), wait)
        self._tell(member, seconds)

    def accuse(self, member: Member[S], error: InvalidBlockError) -> None:
        """Put a source aside for a block that cannot be: for each one twice as long."""
        with self.lock:
            seconds = member.health.accused(self.now(), mask(str(error)))
        self._tell(member, seconds)

    def none_left(self) -> SourceUnavailableError:
        """The error that says what each source said, and when the first is tried again."""
        now = self.now()
        waits = [
            (member.health.next_try - now).total_seconds()
            if member.health.next_try is not None else member.bucket.free_in()
            for member in self.all
        ]
        soonest = min((wait for wait in waits if wait > 0), default=0.0)
        said = "; ".join(member.said for member in self.all)
        return SourceUnavailableError(
            f"no {self._words.chain} source can answer now: {said}",
            retry_after=soonest or None, field=self._words.setting,
            mend="it is tried again by itself; add a source to depend on no single one",
        )

    def _check_network(self, member: Member[S]) -> None:
        """At first use, and when it comes back: one of another chain is never asked for more."""
        if member.network_known:
            return
        now = self.now()
        asked_at = member.network_asked_at  # it could not tell then
        if asked_at is not None and now - asked_at < _NETWORK_AGAIN:
            return
        network = member.source.network()
        if network is not None and network != self.network:
            raise ReplyError(
                f"{member.source.name} is of the wrong chain", field="network", value=network,
                mend=f"give a source of {self.network}, or set {self._words.network_setting}",
            )
        member.network_known = network is not None
        member.network_asked_at = now

    def _tell(self, member: Member[S], seconds: float) -> None:
        log.warning(
            "source_put_aside", source=member.source.name, state=member.health.state,
            seconds=seconds, error=member.health.last_error,
        )
