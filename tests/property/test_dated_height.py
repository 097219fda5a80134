"""The block of a date is found in few questions, whatever the pace of the chain."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.domain.dated_height import height_before

START = datetime(2009, 1, 3, tzinfo=UTC)
GAPS = st.lists(st.integers(1, 100_000), min_size=1, max_size=400)


@given(GAPS, st.integers(-1000, 40_000_000), st.integers(1, 12))
def test_it_is_never_above_the_date_and_within_the_tolerance_below(
    gaps: list[int], second: int, within: int
) -> None:
    times = [START + timedelta(seconds=each) for each in accumulate([0, *gaps])]
    at = START + timedelta(seconds=second)
    asked: list[int] = []

    def time_of(height: int) -> datetime:
        asked.append(height)
        return times[height]

    found = height_before(at, 0, len(times) - 1, time_of, within=within)
    first = min(bisect_left(times, at), len(times) - 1)  # the first block of the date
    assert max(0, first - max(1, within)) <= found <= first
    assert len(asked) <= 2 + 3 + 2 * len(times).bit_length()


@pytest.mark.parametrize("year", range(2010, 2026, 3))
def test_a_chain_of_bitcoin_s_pace_takes_a_handful_of_questions(year: int) -> None:
    asked: list[int] = []

    def time_of(height: int) -> datetime:
        asked.append(height)
        return START + timedelta(seconds=height * 600 + (height * 7919) % 3600)

    at = datetime(year, 6, 1, tzinfo=UTC)
    found = height_before(at, 0, 950_000, time_of, within=12)
    assert timedelta(0) <= at - time_of(found) <= timedelta(hours=4)
    assert len(asked) <= 8
