"""How one source does: a circuit breaker, its put-aside times, its latency. Pure.

The circuit is closed while the source may be asked; open until `next_try` after it failed, each
time twice as long; then half open: one trial question decides. States, as `/sources` shows them:
`ok`; `lagging` (behind what others showed); `unreachable`; `paused` (it asked us to slow down);
`lying` (it sent what cannot be: a forged or foreign block, a web page, another chain).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

State = Literal["ok", "lagging", "unreachable", "lying", "paused"]
Circuit = Literal["closed", "open", "half_open"]

FIRST_WAIT_SECONDS = 5.0
MAX_WAIT_SECONDS = 600.0
MAX_PAUSE_SECONDS = 3600.0  # however long a Retry-After asks for
# A source that came back, or had lagged, is preferred again after so long and so many good answers.
RECOVERY_SECONDS = 60.0
RECOVERY_ANSWERS = 3
FORGIVEN_AFTER = timedelta(days=1)  # without another block that cannot be

_EWMA_WEIGHT = 0.3  # of the newest sample: some five samples decide


@dataclass(slots=True)
class Health:
    """What is known of one source; every change takes the time as `now`."""

    state: State = "ok"
    failures: int = 0  # in a row
    lies: int = 0  # blocks of it that did not verify; an honest answer washes none off
    lied_at: datetime | None = None
    next_try: datetime | None = None
    height: int | None = None
    latency: float | None = None  # seconds, an exponentially weighted mean over questions of a kind
    last_ok: datetime | None = None
    last_error: str | None = None
    _trying: bool = field(default=False)
    _back_at: datetime | None = None  # since when it is well again; None: it always was
    _good: int = 0  # answers since then

    def circuit(self, now: datetime) -> Circuit:
        """Closed, open, or half open: its time has come, and nobody knows yet."""
        if self.next_try is None:
            return "closed"
        return "open" if now < self.next_try else "half_open"

    def may_ask(self, now: datetime) -> bool:
        """Whether a question may go to it now; while a trial runs, no second one may."""
        return self.circuit(now) != "open" and not self._trying

    def begin(self, now: datetime) -> bool:
        """A question goes out; returns whether it is the trial, which `end` then ends."""
        trial = self.circuit(now) == "half_open"
        self._trying = self._trying or trial
        return trial

    def end(self) -> None:
        """The trial is over, whatever came of it."""
        self._trying = False

    def answered(self, now: datetime) -> None:
        """It answered well."""
        self.last_error = None
        self._alive(now)

    def lacked(self, now: datetime, error: str) -> None:
        """It does not have what was asked for: it lags or has pruned, which is no fault."""
        self.last_error = error
        self._alive(now)

    def timed(self, seconds: float) -> None:
        """Count in how long a comparable question took."""
        last = self.latency
        self.latency = seconds if last is None else last + _EWMA_WEIGHT * (seconds - last)

    def failed(
        self, now: datetime, state: State, error: str, retry_after: float | None = None
    ) -> float:
        """Put it aside; returns for how many seconds: twice the last, never less than it asks."""
        self.failures += 1
        return self._aside(now, state, error, self.failures, retry_after)

    def accused(self, now: datetime, error: str) -> float:
        """Put it aside for a block that did not verify; returns for how many seconds."""
        if self.lied_at is not None and now - self.lied_at > FORGIVEN_AFTER:
            self.lies = 0
        self.lies += 1
        self.lied_at = now
        return self._aside(now, "lying", error, self.lies, None)

    def placed(self, now: datetime, best: int | None, lag_blocks: int) -> None:
        """Say whether it lags, now that `best` is the height that others showed."""
        if self.state not in ("ok", "lagging") or self.height is None or best is None:
            return
        lags = self.height < best - lag_blocks
        if self.state == "lagging" and not lags:
            self.doubted(now)
        self.state = "lagging" if lags else "ok"

    def doubted(self, now: datetime) -> None:
        """It must prove itself again before it is preferred."""
        self._back_at = now
        self._good = 0

    def proved(self, now: datetime) -> bool:
        """Whether it is well, and has been for a while if ever it was not."""
        if self.state != "ok" or self.next_try is not None:
            return False
        return self._back_at is None or (
            self._good >= RECOVERY_ANSWERS
            and now - self._back_at >= timedelta(seconds=RECOVERY_SECONDS)
        )

    def _alive(self, now: datetime) -> None:
        self.last_ok = now
        if self.circuit(now) == "open":  # asked before it was put aside: that stands
            return
        self.failures = 0
        self.next_try = None
        if self.state not in ("ok", "lagging"):
            self.state = "ok"
            self.doubted(now)
        self._good += 1

    def _aside(
        self, now: datetime, state: State, error: str, times: int, retry_after: float | None
    ) -> float:
        doublings = min(times - 1, 20)
        seconds = min(FIRST_WAIT_SECONDS * (1 << doublings), MAX_WAIT_SECONDS)
        if retry_after is not None:
            seconds = max(seconds, min(retry_after, MAX_PAUSE_SECONDS))
        self.state = state
        self.last_error = error
        self.next_try = now + timedelta(seconds=seconds)
        return seconds
