"""When a dead child is started again: at once, then slower, slowest while it keeps failing."""

from __future__ import annotations

from dataclasses import dataclass

FAST_DEATH_SECONDS = 10.0
FAILING_AFTER = 5
_DELAYS_SECONDS = (0.2, 1.0, 2.0, 4.0)
_FAILING_DELAY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often a child died in a row without having lived for `FAST_DEATH_SECONDS`."""

    fast_deaths: int = 0

    @property
    def failing(self) -> bool:
        """True after `FAILING_AFTER` fast deaths: somebody should look at the log."""
        return self.fast_deaths >= FAILING_AFTER

    @property
    def delay_seconds(self) -> float:
        """How long to wait before the next start."""
        if self.failing:
            return _FAILING_DELAY_SECONDS
        return _DELAYS_SECONDS[max(0, min(self.fast_deaths, len(_DELAYS_SECONDS)) - 1)]

    def after(self, lived_seconds: float) -> Restarts:
        """The record after a death at the age of `lived_seconds`."""
        if lived_seconds < FAST_DEATH_SECONDS:
            return Restarts(self.fast_deaths + 1)
        return Restarts(1)
