"""Which readings of a rate are believed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tracker.facts.rates.judge import RateState, judge

BELIEVED, REFUSED = RateState.BELIEVED, RateState.REFUSED


def _maybe(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


@pytest.mark.parametrize(("value", "believed", "refused", "due"), [
    ("1.1934", None, None, BELIEVED),
    ("1.1935", "1.1934", None, BELIEVED),
    ("1.13373", "1.1934", None, BELIEVED),  # exactly 5 % less
    ("1.13372", "1.1934", None, REFUSED),
    ("1.26", "1.1934", None, REFUSED),
    ("1.26", "1.1934", "1.2601", BELIEVED),  # seen twice
    ("1.1934", "1.1934", "1.26", BELIEVED),  # back again: it was a slip
    ("1.5", "1.1934", "1.26", REFUSED),  # two that differ are no two witnesses
])
def test_a_jump_is_believed_once_it_is_seen_twice(
    value: str, believed: str | None, refused: str | None, due: RateState
) -> None:
    assert judge(Decimal(value), _maybe(believed), _maybe(refused)) is due


@pytest.mark.parametrize("value", ["0", "0.9", "3", "1193400000000000000"])
@pytest.mark.parametrize("before", [None, "0.92", "2.99"])
def test_what_no_rate_can_be_is_never_believed(value: str, before: str | None) -> None:
    assert judge(Decimal(value), _maybe(before), Decimal(value)) is REFUSED
