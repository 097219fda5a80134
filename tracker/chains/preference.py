"""Which source is asked first: the configured order, left only for a reason, not at once. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tracker.chains.health import Health

# One source is clearly slower than another above twice the other's latency plus this, for so many
# questions in a row; it is as good again below half of that margin.
SLOW_FACTOR, SLOW_SECONDS, SLOW_SAMPLES = 2.0, 0.050, 5
RETURN_FACTOR, RETURN_SECONDS = 1.5, 0.025
# Who is well is not left again within this time of the last change.
WINDOW_SECONDS = 60.0


class Preference:
    """The member that is asked first, by its index in the configured order."""

    def __init__(self) -> None:
        self.current: int | None = None
        self._changed_at: datetime | None = None
        self._slow = 0  # questions in a row in which another was clearly faster

    def order(self, healths: Sequence[Health], now: datetime) -> list[int]:
        """The members that may be asked now, best first.

        The current one, then those that are well, those that have to prove it again, those that
        lag (the highest first), and those whose trial is due; each kind in the configured order.
        """
        self._reconsider(healths, now)

        def rank(index: int) -> tuple[int, int, int]:
            health = healths[index]
            if health.circuit(now) == "half_open":
                return 4, 0, index
            if health.state == "lagging":
                return 3, -(health.height or 0), index
            if index == self.current:
                return 0, 0, index
            return (1 if health.proved(now) else 2), 0, index

        may = (index for index, health in enumerate(healths) if health.may_ask(now))
        return sorted(may, key=rank)

    def served(self, index: int, healths: Sequence[Health], now: datetime) -> None:
        """Member `index` gave the answer: the current one from now on if the last one is not well.

        To lack what was asked for is no reason to lose the place.
        """
        if self.current is None or not _is_well(healths[self.current], now):
            self.change(index, now)

    def change(self, index: int, now: datetime) -> None:
        """Make member `index` the current one, for a reason."""
        if index != self.current:
            self.current, self._changed_at, self._slow = index, now, 0

    def timed(self, healths: Sequence[Health]) -> None:
        """The latency of the current one has a new sample."""
        if self.current is None:
            return
        mine = healths[self.current].latency
        others = [
            health.latency for index, health in enumerate(healths)
            if index != self.current and health.latency is not None and health.state == "ok"
        ]
        if mine is not None and others and mine > SLOW_FACTOR * min(others) + SLOW_SECONDS:
            self._slow += 1
        else:
            self._slow = 0

    def _reconsider(self, healths: Sequence[Health], now: datetime) -> None:
        """Leave a current one that is well: for one configured before it, or a faster one."""
        if self.current is None or not _is_well(healths[self.current], now):
            return
        window = timedelta(seconds=WINDOW_SECONDS)
        if self._changed_at is not None and now - self._changed_at < window:
            return
        mine = healths[self.current].latency
        proved = [index for index, health in enumerate(healths) if health.proved(now)]
        for index in proved:
            if index >= self.current:
                break
            theirs = healths[index].latency
            if theirs is None or mine is None or _as_good(theirs, mine):
                self.change(index, now)
                return
        if self._slow >= SLOW_SAMPLES:
            faster = [(latency, index) for index in proved
                      if index != self.current and (latency := healths[index].latency) is not None]
            if faster:
                self.change(min(faster)[1], now)


def _is_well(health: Health, now: datetime) -> bool:
    return health.state == "ok" and health.circuit(now) == "closed"


def _as_good(theirs: float, mine: float) -> bool:
    return theirs <= RETURN_FACTOR * mine + RETURN_SECONDS
