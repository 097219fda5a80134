"""Which block stands at a date: a search over block times, in few questions. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

# Rounds after which every second one halves the range: where blocks came very unevenly,
# interpolation alone would creep.
_FREE_ROUNDS = 3


def height_before(
    at: datetime, first: int, last: int, time_of: Callable[[int], datetime], *, within: int
) -> int:
    """A height at or below the first block of `at`, by at most `within` blocks; `first` at least.

    Looks at the blocks `first` to `last` by `time_of`. Interpolated, because chains aim at even
    times. Times that go back a little, as Bitcoin's may, shift the answer by as many blocks.
    """
    low, high = (first, time_of(first)), (last, time_of(last))
    if at <= low[1]:
        return first
    if at > high[1]:
        return last
    rounds = 0
    while high[0] - low[0] > max(1, within):
        rounds += 1
        middle = (low[0] + high[0]) // 2
        if rounds <= _FREE_ROUNDS or rounds % 2:
            span = (high[1] - low[1]).total_seconds()
            share = (at - low[1]).total_seconds() / span if span > 0 else 0.5
            middle = low[0] + int((high[0] - low[0]) * share) - within // 2
            # Near an end already, the next look is just so far from it that the range can close.
            if middle - low[0] <= within:
                middle = low[0] + within
            elif high[0] - middle <= within:
                middle = high[0] - within
        middle = min(max(middle, low[0] + 1), high[0] - 1)
        found = (middle, time_of(middle))
        if found[1] < at:
            low = found
        else:
            high = found
    return low[0]
