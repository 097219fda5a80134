"""Quotes: what is refused, how venues agree, what stood at a moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.domain.money import Money
from tracker.domain.quote import History, Quote, QuoteState, check, consensus
from tracker.errors import ReplyError

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def quote(price: str, source: str = "kraken", at: datetime = NOW) -> Quote:
    return Quote("BTC", Money(Decimal(price), "USD"), at, QuoteState.OPEN, source)


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity", "1e-12", "1e30"])
def test_a_price_that_cannot_be_is_refused(price: str) -> None:
    with pytest.raises(ReplyError, match="cannot be"):
        check(quote(price), now=NOW)


def test_a_price_from_the_future_is_refused_beyond_the_clocks_tolerance() -> None:
    assert check(quote("100", at=NOW + timedelta(seconds=59)), now=NOW)
    with pytest.raises(ReplyError, match="future"):
        check(quote("100", at=NOW + timedelta(seconds=61)), now=NOW)


@pytest.mark.parametrize(
    ("price", "fine"), [("500", True), ("501", False), ("20", True), ("19", False)]
)
def test_a_price_five_times_off_is_refused(price: str, fine: bool) -> None:
    last = quote("100", at=NOW - timedelta(days=2))
    if fine:
        assert check(quote(price), now=NOW, last=last)
    else:
        with pytest.raises(ReplyError, match="5 times off"):
            check(quote(price), now=NOW, last=last)


def test_the_guard_lapses_with_an_old_price() -> None:
    assert check(quote("1000"), now=NOW, last=quote("100", at=NOW - timedelta(days=4)))


def test_another_currency_than_before_is_refused() -> None:
    last = replace(quote("100"), price=Money(Decimal(100), "JPY"))
    with pytest.raises(ReplyError, match="another currency"):
        check(quote("100"), now=NOW, last=last)


def test_one_venue_is_enough() -> None:
    assert consensus([quote("100")]).quote.price.amount == 100


def test_an_outlier_changes_nothing() -> None:
    agreed = consensus([quote("100", "a"), quote("101", "b"), quote("102", "c"), quote("400", "d")])
    assert agreed.quote.price.amount == 101
    assert agreed.rejected == ("d",)
    assert "d" not in agreed.quote.source.removeprefix("median of ")


def test_honest_differences_of_some_basis_points_are_kept() -> None:
    agreed = consensus([quote("100.0", "a"), quote("100.0", "b"), quote("100.3", "c")])
    assert agreed.rejected == ()


def test_two_venues_that_disagree_give_no_price() -> None:
    with pytest.raises(ReplyError, match="disagree"):
        consensus([quote("100", "a"), quote("150", "b")])


def test_no_venue_gives_no_price() -> None:
    with pytest.raises(ReplyError, match="no venue"):
        consensus([])


@given(st.lists(st.decimals(99, 101, places=4), min_size=3, max_size=9), st.decimals(600, 10**6))
def test_the_median_stays_among_the_honest(honest: list[Decimal], liar: Decimal) -> None:
    quotes = [quote(str(price), f"v{index}") for index, price in enumerate(honest)]
    agreed = consensus([*quotes, quote(str(liar), "liar")])
    assert "liar" in agreed.rejected
    assert min(honest) <= agreed.quote.price.amount <= max(honest)


def test_a_history_answers_for_the_moment_asked() -> None:
    monday, friday = NOW - timedelta(days=6), NOW - timedelta(days=2)
    history = History([quote("2", at=friday), quote("1", at=monday)])
    found = [history.newest(at) for at in (monday - timedelta(seconds=1), monday, NOW)]
    assert [None if q is None else q.price.amount for q in found] == [None, 1, 2]
