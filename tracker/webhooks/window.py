"""How many deliveries one endpoint may have under way: its share of a process's threads."""

from __future__ import annotations

from collections import defaultdict

_FIRST = 2
_SLOW_SECONDS = 1.0
# Threads that no single endpoint can take, so that the others' next event finds one free.
_RESERVE = 8


class Windows:
    """Per endpoint a window that grows with quick answers and halves with slow or failed ones.

    A receiver that takes hundreds a second gets most of the threads within a few round trips; a
    dead one, or one that answers after 14 s, is soon left with a single thread.
    """

    def __init__(self, concurrency: int) -> None:
        self._largest = max(1, concurrency - concurrency // _RESERVE)
        self._window: dict[str, int] = defaultdict(lambda: min(_FIRST, self._largest))
        self._under_way: dict[str, int] = defaultdict(int)

    def room(self, endpoint_id: str) -> int:
        """How many more deliveries may be begun now."""
        return max(0, self._window[endpoint_id] - self._under_way[endpoint_id])

    def began(self, endpoint_id: str) -> None:
        """Count a delivery that is now under way."""
        self._under_way[endpoint_id] += 1

    def ended(self, endpoint_id: str, *, good: bool, seconds: float) -> None:
        """Count it as ended, and learn from how it went."""
        self._under_way[endpoint_id] -= 1
        if good and seconds < _SLOW_SECONDS:
            self._window[endpoint_id] = min(self._largest, self._window[endpoint_id] + 1)
        else:
            self._window[endpoint_id] = max(1, self._window[endpoint_id] // 2)

    def share_out(self, free: int, endpoint_ids: list[str]) -> dict[str, int]:
        """`free` threads dealt one by one to endpoints with room, fewest under way first."""
        rooms = {endpoint_id: self.room(endpoint_id) for endpoint_id in endpoint_ids}
        turn = sorted(
            (endpoint_id for endpoint_id in endpoint_ids if rooms[endpoint_id]),
            key=lambda endpoint_id: (self._under_way[endpoint_id], endpoint_id),
        )
        dealt: dict[str, int] = {}
        while free > 0 and turn:
            for endpoint_id in turn[:free]:
                dealt[endpoint_id] = dealt.get(endpoint_id, 0) + 1
            free -= min(free, len(turn))
            turn = [name for name in turn if dealt.get(name, 0) < rooms[name]]
        return dealt
