"""mNAV definitions against worked figures, and what they say where an input is missing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from tracker.domain.capital import AGE_LIMITS, Figure, Unknown, carried
from tracker.domain.valuation import DEFINITIONS, DefinitionValue, Input, value

DAY = date(2025, 11, 13)


def given(**numbers: object) -> dict[str, Input | Unknown]:
    """Inputs by name (`__` for the dot); a string is the reason why one is unknown."""
    found: dict[str, Input | Unknown] = {}
    for key, number in numbers.items():
        name = key.replace("__", ".")
        unit = "JPY" if name == "price" and "fx" in numbers else "USD"
        found[name] = (
            Unknown(number)
            if isinstance(number, str)
            else Input(name, Decimal(str(number)), unit, DAY, "a filing")
        )
    return found


def values(inputs: dict[str, Input | Unknown]) -> dict[str, DefinitionValue]:
    return {found.id: found for found in value(DEFINITIONS, inputs)}


def test_strategy_in_november_2025_is_below_one_by_basic_and_above_by_enterprise_value() -> None:
    # Published that day: shares worth 60 bn, an enterprise value of 75.4 bn (so 15.4 bn of claims
    # in one sum), coins worth 63.2 bn; the company's own page showed 1.19.
    found = values(
        given(
            market_cap=60_000_000_000,
            debt=15_400_000_000,
            preferred=0,
            cash=0,
            holdings__BTC=641_692,
            coin_prices__BTC=Decimal(63_200_000_000) / 641_692,
        )
    )
    basic, ev = found["basic"].value, found["ev"].value
    assert basic is not None
    assert round(basic, 2) == Decimal("0.95")
    assert ev is not None
    assert round(ev, 2) == Decimal("1.19")


def test_enterprise_value_below_one_is_net_below_one() -> None:
    found = values(
        given(
            price=10,
            basic_shares=90,
            debt=20,
            preferred=0,
            cash=50,
            holdings__ETH=1,
            coin_prices__ETH=1000,
        )
    )
    assert found["ev"].value == Decimal("0.87")
    assert found["net"].value is not None
    assert found["net"].value < 1


def test_every_coin_of_a_holder_counts() -> None:
    found = values(
        given(
            price=2,
            basic_shares=100,
            holdings__BTC=1,
            coin_prices__BTC=100,
            holdings__ETH=10,
            coin_prices__ETH=10,
        )
    )
    assert found["basic"].value == 1
    assert found["premium_per_share"].value == 0
    assert found["base_units_per_share"].value is None
    assert "more than one coin" in found["base_units_per_share"].missing[0]


def test_base_units_per_share_names_its_unit() -> None:
    bitcoin = values(given(basic_shares=200, holdings__BTC=2))["base_units_per_share"]
    ether = values(given(basic_shares=2, holdings__ETH=1, holdings__BTC=0))["base_units_per_share"]
    assert (bitcoin.value, bitcoin.unit) == (1_000_000, "satoshi per share")
    assert (ether.value, ether.unit) == (5 * 10**17, "wei per share")


def test_a_coin_of_which_none_is_held_needs_no_price() -> None:
    found = values(
        given(price=1, basic_shares=50, holdings__BTC=0, holdings__ETH=1, coin_prices__ETH=100)
    )
    assert found["basic"].value == Decimal("0.5")


def test_a_yen_price_is_converted_by_its_rate() -> None:
    found = values(
        given(price=1000, fx="0.01", basic_shares=10, holdings__BTC=1, coin_prices__BTC=50)
        | given(price=1000, fx=0.01)
    )
    assert found["basic"].value == 2
    assert [one.name for one in found["basic"].inputs] == [
        "price", "fx", "basic_shares", "holdings.BTC", "coin_prices.BTC",
    ]  # fmt: skip


def test_what_is_missing_is_named_with_its_reason() -> None:
    found = values(
        given(
            price=1, basic_shares="stale: 410 days > 200", debt=0, preferred="unknown", cash=0,
            holdings__BTC=1, coin_prices__BTC=1,
        )
    )  # fmt: skip
    assert found["basic"].value is None
    assert found["basic"].missing == ("basic_shares: stale: 410 days > 200",)
    assert "preferred: unknown" in found["ev"].missing
    assert {one.name for one in found["ev"].inputs} >= {"price", "debt", "cash", "holdings.BTC"}


def test_nothing_known_gives_no_value_and_no_error() -> None:
    for found in value(DEFINITIONS, {}):
        assert found.value is None
        assert found.missing


def test_claims_above_the_coins_give_no_net_value() -> None:
    found = values(
        given(
            price=1,
            basic_shares=10,
            debt=200,
            preferred=0,
            cash=0,
            holdings__BTC=1,
            coin_prices__BTC=100,
        )
    )
    assert found["net"].value is None
    assert found["net"].missing == ("claims exceed the coins: net assets are -100 USD",)
    assert found["ev"].value == Decimal("2.1")


@pytest.mark.parametrize("definition", ["basic", "ev", "premium_per_share"])
def test_no_coins_give_no_ratio(definition: str) -> None:
    found = values(given(price=1, basic_shares=10, debt=0, preferred=0, cash=0, holdings__BTC=0))[
        definition
    ]
    assert found.value is None
    assert found.missing == ("holdings: no coins are held",)


def test_a_share_count_of_zero_is_no_divisor() -> None:
    found = values(given(price=1, basic_shares=0, holdings__BTC=1, coin_prices__BTC=1))
    assert all(
        found[name].value is None for name in ("basic", "premium_per_share", "base_units_per_share")
    )


# -- figures carried forward ---------------------------------------------------------------------

AT = datetime(2025, 11, 13, 23, 59, 59, tzinfo=UTC)
LIMIT = AGE_LIMITS["debt"]


def figure(days_ago: int, number: int = 1, **more: object) -> Figure:
    return Figure(Decimal(number), AT.date() - timedelta(days=days_ago), "10-Q", **more)  # type: ignore[arg-type]


def test_the_newest_figure_is_carried_and_a_later_one_is_not_seen() -> None:
    assert carried([figure(-1, 3), figure(10, 2), figure(40, 1)], AT, LIMIT) == figure(10, 2)


def test_a_figure_published_later_was_not_known() -> None:
    late = figure(3, 9, published_at=AT + timedelta(days=2))
    assert carried([late, figure(40, 1)], AT, LIMIT) == figure(40, 1)


def test_a_figure_beyond_its_age_limit_says_so() -> None:
    found = carried([figure(201)], AT, LIMIT)
    assert isinstance(found, Unknown)
    assert found.reason.startswith("stale: 201 days > 200")
    assert carried([figure(200)], AT, LIMIT) == figure(200)


def test_a_stated_zero_of_coins_does_not_age() -> None:
    assert carried([figure(900, 0)], AT, LIMIT, zero_lasts=True) == figure(900, 0)
    assert isinstance(carried([figure(900, 0)], AT, LIMIT), Unknown)


def test_a_count_of_one_class_never_stands_for_all() -> None:
    partial = figure(5, complete=False, note="Class A only")
    assert carried([partial, figure(50, 7)], AT, LIMIT) == figure(50, 7)
    found = carried([partial], AT, LIMIT)
    assert isinstance(found, Unknown)
    assert "incomplete" in found.reason
    assert "Class A only" in found.reason


def test_no_figure_is_unknown() -> None:
    assert carried([], AT, LIMIT) == Unknown("unknown")
