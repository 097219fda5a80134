"""Fairness: who gets how many of a process's threads."""

from __future__ import annotations

from tracker.webhooks.window import Windows


def settle(windows: Windows, endpoint: str, times: int, *, good: bool, seconds: float) -> None:
    for _ in range(times):
        windows.began(endpoint)
        windows.ended(endpoint, good=good, seconds=seconds)


def test_a_quick_receiver_gets_most_threads_but_never_all() -> None:
    windows = Windows(64)
    settle(windows, "quick", 200, good=True, seconds=0.1)
    assert windows.room("quick") == 56
    assert windows.share_out(64, ["quick"]) == {"quick": 56}


def test_a_dead_or_slow_receiver_is_left_with_one() -> None:
    windows = Windows(64)
    settle(windows, "dead", 5, good=False, seconds=0.0)
    settle(windows, "slow", 5, good=True, seconds=14.0)
    assert windows.share_out(64, ["dead", "slow"]) == {"dead": 1, "slow": 1}


def test_a_receiver_that_has_recovered_grows_again() -> None:
    windows = Windows(64)
    settle(windows, "back", 5, good=False, seconds=0.0)
    settle(windows, "back", 10, good=True, seconds=0.1)
    assert windows.room("back") == 11


def test_few_threads_go_round_beginning_with_who_has_the_fewest() -> None:
    windows = Windows(8)
    windows.began("a")
    assert windows.share_out(2, ["a", "b", "c"]) == {"b": 1, "c": 1}
    assert windows.share_out(7, ["a", "b"]) == {"a": 1, "b": 2}
    assert windows.share_out(0, ["a"]) == {}


def test_what_is_under_way_takes_room() -> None:
    windows = Windows(64)
    for _ in range(2):
        windows.began("a")
    assert windows.share_out(60, ["a"]) == {}


def test_one_thread_is_enough() -> None:
    windows = Windows(1)
    assert windows.share_out(1, ["a", "b"]) == {"a": 1}
