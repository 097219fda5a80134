"""What a node has shown that it cannot do, remembered for a while: nodes get new versions."""

from __future__ import annotations

import time
from collections.abc import Callable

HOLD_SECONDS = 3600.0


class Abilities:
    """Everything is taken to work until it was seen not to; that is forgotten after `hold`."""

    def __init__(
        self, *, hold: float = HOLD_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._hold = hold
        self._clock = clock
        self._lacking: dict[str, float] = {}

    def may(self, name: str) -> bool:
        """Whether `name`, a method or a feature, is worth asking for."""
        return self._clock() >= self._lacking.get(name, float("-inf"))

    def lacks(self, name: str) -> None:
        """Remember that the node does not do `name`."""
        self._lacking[name] = self._clock() + self._hold
