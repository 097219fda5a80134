"""Money is converted once; share counts and prices meet on one split basis."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.domain.money import FxRate, Money, to_usd
from tracker.domain.splits import CorporateAction, factor, rebase_price, rebase_shares
from tracker.errors import InputError

YEN = FxRate("JPY", Decimal("0.0066"), date(2025, 9, 1), "ECB")
SPLIT = CorporateAction(date(2024, 8, 8), "split", Fraction(10))
REVERSE = CorporateAction(date(2025, 5, 15), "reverse_split", Fraction(1, 20))

days = st.dates(date(2020, 1, 1), date(2027, 1, 1))


def test_a_dollar_is_not_multiplied_by_a_rate() -> None:
    assert to_usd(Money(Decimal(5), "USD"), YEN) == Money(Decimal(5), "USD")


def test_yen_become_dollars_once() -> None:
    dollars = to_usd(Money(Decimal(1000), "JPY"), YEN)
    assert dollars == Money(Decimal("6.6"), "USD")
    assert to_usd(dollars, YEN) == dollars


@pytest.mark.parametrize("rate", [None, YEN])
def test_a_wrong_or_missing_rate_is_refused(rate: FxRate | None) -> None:
    with pytest.raises(InputError, match="no dollar rate for SEK"):
        to_usd(Money(Decimal(1), "SEK"), rate)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Money(Decimal(250), "GBp"), Money(Decimal("2.5"), "GBP")),
        (Money(Decimal(250), "ILA"), Money(Decimal("2.5"), "ILS")),
        (Money(Decimal(250), "GBP"), Money(Decimal(250), "GBP")),
    ],
)
def test_pence_and_agorot_are_hundredths(given: Money, expected: Money) -> None:
    assert given.in_major_units() == expected


def test_a_count_of_before_a_split_meets_an_adjusted_price() -> None:
    by = factor([SPLIT], date(2023, 12, 31), date(2026, 2, 5))
    assert rebase_shares(Decimal(16_868_025), by) == 168_680_250


def test_the_effective_day_stands_on_the_new_basis() -> None:
    assert factor([SPLIT], date(2024, 8, 7), date(2024, 8, 8)) == 10
    assert factor([SPLIT], date(2024, 8, 8), date(2024, 8, 9)) == 1


def test_a_reverse_split_shrinks_the_count() -> None:
    by = factor([REVERSE], date(2025, 5, 1), date(2025, 6, 1))
    assert rebase_shares(Decimal(41_067_320), by) == 2_053_366


@given(start=days, end=days)
def test_back_and_forth_is_where_it_began(start: date, end: date) -> None:
    actions = [SPLIT, REVERSE]
    assert factor(actions, start, end) * factor(actions, end, start) == 1


@given(start=days, end=days, price=st.integers(1, 10**6), count=st.integers(1, 10**9))
def test_market_value_does_not_depend_on_the_basis(
    start: date, end: date, price: int, count: int
) -> None:
    by = factor([SPLIT, REVERSE], start, end)
    moved = rebase_price(Decimal(price), by) * rebase_shares(Decimal(count), by)
    assert abs(moved - price * count) <= Decimal(price * count) / 10**20
