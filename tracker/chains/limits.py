"""How often a source is asked: a token bucket for each, shared by all threads of the process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """Questions per second in the long run, and how many may come at once."""

    per_second: float
    burst: int


# Far above what a head needs, and below what gets a public address blocked; a limit that is lower
# still makes itself known by 429. One's own node, and a folder, bear whatever one machine asks.
RATES = {"esplora": Rate(10, 40), "rpc": Rate(200, 400)}
UNLIMITED = Rate(float("inf"), 1)


def rate_of(kind: str) -> Rate:
    """The rate for a kind of source; kinds without one are not limited."""
    return RATES.get(kind, UNLIMITED)


class TokenBucket:
    """Grants at most `burst + per_second * t` questions in any `t` seconds.

    A token may be promised before it is there: who took it waits, in the order of asking.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._tokens = float(rate.burst)
        self._at = clock()
        self._lock = threading.Lock()

    def take(self, patience: float) -> float | None:
        """Take a token: the seconds to wait before it counts; None, and none taken, past patience.

        `patience` is in seconds.
        """
        if self._rate.per_second == float("inf"):
            return 0.0
        with self._lock:
            wait = self._wait()
            if wait > patience:
                return None
            self._tokens -= 1
            return wait

    def free_in(self) -> float:
        """Seconds until a token is free; 0 where one is."""
        if self._rate.per_second == float("inf"):
            return 0.0
        with self._lock:
            return self._wait()

    def _wait(self) -> float:
        now = self._clock()
        grown = max(0.0, now - self._at) * self._rate.per_second
        self._tokens = min(float(self._rate.burst), self._tokens + grown)
        self._at = now
        return max(0.0, 1.0 - self._tokens) / self._rate.per_second
