"""One source's circuit, the order among several, the limits: for any sequence of outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.chains.health import (
    FIRST_WAIT_SECONDS,
    FORGIVEN_AFTER,
    MAX_PAUSE_SECONDS,
    MAX_WAIT_SECONDS,
    RECOVERY_ANSWERS,
    RECOVERY_SECONDS,
    Health,
)
from tracker.chains.limits import Rate, TokenBucket, rate_of
from tracker.chains.preference import SLOW_SAMPLES, WINDOW_SECONDS, Preference

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


# -- one source ------------------------------------------------------------------------------------


def test_a_failing_source_waits_twice_as_long_each_time_up_to_a_bound() -> None:
    health = Health()
    waits = [health.failed(START, "unreachable", "down") for _ in range(9)]
    assert waits == [5, 10, 20, 40, 80, 160, 320, MAX_WAIT_SECONDS, MAX_WAIT_SECONDS]
    health.answered(at(10_000))
    assert (health.state, health.next_try, health.last_error) == ("ok", None, None)
    assert health.failed(START, "unreachable", "down") == FIRST_WAIT_SECONDS


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(None, 5), (0.0, 5), (1.0, 5), (90.0, 90), (1e9, MAX_PAUSE_SECONDS)],
)
def test_a_pause_is_as_long_as_asked_within_bounds(asked: float | None, seconds: float) -> None:
    health = Health()
    assert health.failed(START, "paused", "slow down", asked) == seconds
    assert health.next_try == at(seconds)


def test_honest_answers_do_not_wash_a_lie_off_but_a_day_does() -> None:
    health = Health()
    assert health.accused(START, "forged") == 5
    health.answered(at(5))
    assert health.accused(at(6), "forged") == 10
    health.answered(at(16))
    assert health.accused(at(16) + FORGIVEN_AFTER, "forged") == 5


def test_a_half_open_circuit_lets_one_trial_through_at_a_time() -> None:
    health = Health()
    health.failed(START, "unreachable", "down")
    assert not health.may_ask(at(4.9))
    assert (health.circuit(at(5)), health.may_ask(at(5))) == ("half_open", True)
    assert health.begin(at(5)) is True
    assert not health.may_ask(at(6))
    health.failed(at(6), "unreachable", "down")
    health.end()
    assert not health.may_ask(at(15.9))
    assert health.begin(at(16)) is True
    health.answered(at(16))
    health.end()
    assert health.begin(at(16)) is False  # closed: any number may ask
    assert health.may_ask(at(16))


def test_an_answer_that_was_asked_before_the_failure_does_not_close_the_circuit() -> None:
    health = Health()
    health.failed(START, "unreachable", "down")
    health.answered(at(1))
    assert (health.circuit(at(1)), health.state) == ("open", "unreachable")


def test_who_comes_back_is_proved_by_time_and_answers_together() -> None:
    health = Health()
    assert health.proved(START)
    health.failed(START, "unreachable", "down")
    assert not health.proved(at(5))
    health.answered(at(5))
    assert not health.proved(at(5) + timedelta(seconds=RECOVERY_SECONDS))  # one answer is not many
    for _ in range(RECOVERY_ANSWERS - 1):
        health.answered(at(6))
    assert not health.proved(at(7))
    assert health.proved(at(5) + timedelta(seconds=RECOVERY_SECONDS))


def test_who_lags_is_said_to_and_has_to_prove_itself_once_it_caught_up() -> None:
    health = Health(height=97)
    health.placed(START, 99, 2)
    assert health.state == "ok"
    health.placed(START, 100, 2)
    assert health.state == "lagging"
    health.answered(START)
    assert health.state == "lagging"  # to answer is not to be at the tip
    health.height = 100
    health.placed(START, 100, 2)
    assert (health.state, health.proved(START)) == ("ok", False)


# -- several ---------------------------------------------------------------------------------------

OUTCOMES = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "fail", "pause", "lie", "lag", "slow", "fast"]),
        st.integers(0, 3),
        st.sampled_from([0.0, 1.0, 4.9, 5.0, 15.0, 61.0, 700.0]),
    ),
    max_size=60,
)


def _apply(event: str, health: Health, now: datetime) -> None:
    if event == "fail":
        health.failed(now, "unreachable", "down")
    elif event == "pause":
        health.failed(now, "paused", "slow down", 30.0)
    elif event == "lie":
        health.accused(now, "forged")
    elif event == "lag":
        health.height = 10 if health.height is None else None
        health.placed(now, 100, 2)
    elif event in ("slow", "fast"):
        health.timed(2.0 if event == "slow" else 0.01)
    if event in ("ask", "slow", "fast") and health.may_ask(now):
        health.answered(now)


@settings(max_examples=200, deadline=None)
@given(OUTCOMES)
def test_who_is_put_aside_is_not_asked_and_all_others_are_in_their_order(
    events: Sequence[tuple[str, int, float]],
) -> None:
    healths = [Health() for _ in range(4)]
    preference = Preference()
    now = START
    for event, index, seconds in events:
        now += timedelta(seconds=seconds)
        order = preference.order(healths, now)
        waiting = {i for i, h in enumerate(healths) if h.next_try and now < h.next_try}
        assert set(order) == set(range(4)) - waiting
        well = [i for i in order if healths[i].proved(now) and i != preference.current]
        assert well == sorted(well)
        trials = [i for i in order if healths[i].next_try is not None]
        assert order[len(order) - len(trials) :] == trials == sorted(trials)
        if order and healths[order[0]].circuit(now) == "closed":
            preference.served(order[0], healths, now)
        _apply(event, healths[index], now)
        preference.timed(healths)


@settings(max_examples=200, deadline=None)
@given(OUTCOMES)
def test_a_current_one_that_is_well_is_left_at_most_once_in_a_window(
    events: Sequence[tuple[str, int, float]],
) -> None:
    healths = [Health() for _ in range(4)]
    preference = Preference()
    now, changed = START, START - timedelta(days=1)
    for event, index, seconds in events:
        now += timedelta(seconds=seconds)
        before = preference.current
        was_well = before is not None and (
            healths[before].state == "ok" and healths[before].next_try is None
        )
        order = preference.order(healths, now)
        if order:
            preference.served(order[0], healths, now)
        if preference.current != before:
            assert not was_well or now - changed >= timedelta(seconds=WINDOW_SECONDS)
            changed = now
        _apply(event, healths[index], now)
        preference.timed(healths)


def test_a_flapping_first_source_is_not_taken_back_at_once() -> None:
    """It fails and answers by turns, each second for ten minutes; the second one just works."""
    healths = [Health(), Health()]
    preference = Preference()
    first_asked = []
    for second in range(600):
        now = at(second)
        asked = preference.order(healths, now)[0]
        preference.served(asked, healths, now)
        first_asked.append(asked == 0)
        if second % 2 == 0:
            healths[0].failed(now, "unreachable", "down")
        elif healths[0].may_ask(now):
            healths[0].answered(now)
        healths[1].answered(now)
    assert sum(first_asked) == 1  # before it failed for the first time


def test_the_first_source_is_preferred_again_once_it_has_been_well_for_a_while() -> None:
    healths = [Health(), Health()]
    preference = Preference()
    preference.served(0, healths, START)
    healths[0].failed(START, "unreachable", "down")
    assert preference.order(healths, at(1)) == [1]
    preference.served(1, healths, at(1))
    back = [at(5 + 15 * look) for look in range(5)]
    for moment in back[:-1]:
        healths[0].answered(moment)
        assert preference.order(healths, moment) == [1, 0]
    assert preference.order(healths, back[-1]) == [0, 1]


def _latencies(preference: Preference, healths: list[Health], seconds: list[float]) -> None:
    for health, latency in zip(healths, seconds, strict=True):
        health.timed(latency)
    preference.timed(healths)


def test_a_clearly_slower_source_is_left_after_some_samples_and_not_for_a_hair() -> None:
    healths = [Health(), Health(), Health()]
    preference = Preference()
    preference.served(0, healths, START)
    later = at(WINDOW_SECONDS)
    for _ in range(30):
        _latencies(preference, healths, [0.24, 0.1, 0.1])  # under twice the best and 50 ms
    assert preference.order(healths, later) == [0, 1, 2]
    healths[0].latency = 0.9
    for _ in range(SLOW_SAMPLES):
        assert preference.order(healths, later) == [0, 1, 2]
        _latencies(preference, healths, [0.9, 0.2, 0.1])
    assert preference.order(healths, later) == [2, 0, 1]


def test_a_slow_source_is_not_taken_back_for_its_place_before_it_is_about_as_fast() -> None:
    healths = [Health(latency=0.9), Health(latency=0.1)]
    preference = Preference()
    preference.served(0, healths, START)
    for _ in range(SLOW_SAMPLES):
        preference.timed(healths)
    assert preference.order(healths, START)[0] == 0  # just taken: not within the window
    assert preference.order(healths, at(60))[0] == 1
    healths[0].latency = 0.2  # no longer clearly slower, but not as good either
    assert preference.order(healths, at(600))[0] == 1
    healths[0].latency = 0.17
    assert preference.order(healths, at(600))[0] == 0


# -- limits ----------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0, 3), min_size=1, max_size=80), st.floats(0.5, 20), st.integers(1, 10),
    st.floats(0, 3),
)
def test_no_stretch_of_time_sees_more_questions_than_the_limit(
    gaps: Sequence[float], per_second: float, burst: int, patience: float
) -> None:
    clock = [0.0]
    bucket = TokenBucket(Rate(per_second, burst), lambda: clock[0])
    granted = []
    for gap in gaps:
        clock[0] += gap
        wait = bucket.take(patience)
        if wait is None:
            assert bucket.free_in() > patience  # and nothing was taken
        else:
            assert 0 <= wait <= patience
            granted.append(clock[0] + wait)
    assert granted == sorted(granted)  # first come, first served
    for i, first in enumerate(granted):
        for j, last in enumerate(granted[i:], start=1):
            assert j <= burst + per_second * (last - first) + 1e-6


def test_a_folder_and_an_own_node_are_not_limited_and_a_public_one_is() -> None:
    assert TokenBucket(rate_of("files")).take(0.0) == 0.0
    public = TokenBucket(rate_of("esplora"), lambda: 0.0)
    waits = [public.take(0.0) for _ in range(41)]
    assert waits == [0.0] * 40 + [None]
