"""Where a difference between ledger and chain came up: by halving, as few questions as it takes."""

from __future__ import annotations

from collections.abc import Callable

from tracker.domain.reconcile import Apart, Jump, explain, jumps


def told(difference: Callable[[int], int], asked: list[int]) -> Callable[..., dict[str, int]]:
    def differences(height: int, subjects: list[str]) -> dict[str, int]:
        asked.append(height)
        return dict.fromkeys(subjects, difference(height))

    return differences


def test_one_miss_is_dated_to_its_block_by_halving() -> None:
    asked: list[int] = []
    found = jumps([Apart("a", 0, 64, 0, 7)], told(lambda h: 7 if h >= 41 else 0, asked))
    assert found == [Jump("a", 40, 41, 7)]
    assert len(asked) == 6


def test_a_rebase_of_one_block_is_dated_to_it_and_a_steady_drift_is_left_whole() -> None:
    asked: list[int] = []
    rebase = [Apart("a", 0, 64, 0, 7, drifts=True)]
    assert jumps(rebase, told(lambda h: 7 if h >= 41 else 0, asked)) == [Jump("a", 40, 41, 7)]
    asked.clear()
    drift = [Apart("a", 0, 64, 0, 64, drifts=True)]
    assert jumps(drift, told(lambda h: h, asked)) == [Jump("a", 0, 64, 64)]
    assert asked == [32]


def test_a_drift_is_a_rebase_and_no_range_that_could_not_be_resolved() -> None:
    found = explain(native=False, rebasing=True, traced=None, transferred=True, resolved=False)
    assert (found.kind, found.state) == ("rebase", "explained")
