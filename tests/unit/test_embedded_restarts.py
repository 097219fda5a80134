"""When a dead child is started again."""

from __future__ import annotations

from tracker.embedded.restarts import FAILING_AFTER, FAST_DEATH_SECONDS, Restarts


def test_the_first_death_is_answered_almost_at_once() -> None:
    assert Restarts().after(3600.0).delay_seconds < 0.5


def test_fast_deaths_in_a_row_wait_longer_each_time() -> None:
    record, delays = Restarts(), []
    for _ in range(FAILING_AFTER):
        record = record.after(0.1)
        delays.append(record.delay_seconds)
    assert delays == sorted(delays)
    assert delays[0] < 0.5 < 20 < delays[-1]


def test_five_fast_deaths_are_failing_and_four_are_not() -> None:
    record = Restarts()
    seen = []
    for _ in range(5):
        record = record.after(FAST_DEATH_SECONDS - 0.001)
        seen.append(record.failing)
    assert seen == [False, False, False, False, True]


def test_a_long_life_clears_the_record() -> None:
    assert not Restarts(fast_deaths=9).after(FAST_DEATH_SECONDS).failing
