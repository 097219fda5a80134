"""The facts that ship: measures, stated trades, publication times, share counts and closes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest

from tracker.domain.units import to_base_units
from tracker.facts.bundled import (
    BundledCapital,
    BundledCorporateAction,
    BundledDisclosure,
    capital,
    closes,
    corporate_actions,
    disclosures,
    fx_rates,
)
from tracker.registry.bundled import entities


@pytest.fixture(scope="module")
def disclosed() -> list[BundledDisclosure]:
    return list(disclosures())


@pytest.fixture(scope="module")
def structures() -> list[BundledCapital]:
    return list(capital())


@pytest.fixture(scope="module")
def actions() -> list[BundledCorporateAction]:
    return list(corporate_actions())


@pytest.fixture(scope="module")
def prices() -> dict[str, dict[date, Decimal]]:
    found: dict[str, dict[date, Decimal]] = {}
    for close in closes():
        found.setdefault(close.symbol, {})[close.day] = close.close
    return found


def of(
    disclosed: list[BundledDisclosure], entity: str, kind: str, asset: str = "BTC"
) -> list[BundledDisclosure]:
    return [d for d in disclosed if (d.entity, d.kind, d.asset) == (entity, kind, asset)]


def brought(count: BundledCapital, to: date, actions: list[BundledCorporateAction]) -> Fraction:
    """A share count on the split basis of the day `to`."""
    assert count.basis_date is not None
    shares = Fraction(int(count.value))
    for action in actions:
        if action.entity == count.entity and count.basis_date < action.effective <= to:
            shares *= action.ratio
    return shares


def test_counts(disclosed: list[BundledDisclosure], structures: list[BundledCapital]) -> None:
    assert Counter(d.kind for d in disclosed) == {
        "total": 552, "purchase": 73, "sale": 21, "pledge": 1,
    }  # fmt: skip
    assert len(of(disclosed, "strategy", "total")) == 145
    assert len(of(disclosed, "metaplanet", "total")) == 54
    assert len(structures) == 459


def test_facts_are_about_known_entities(
    disclosed: list[BundledDisclosure],
    structures: list[BundledCapital],
    actions: list[BundledCorporateAction],
) -> None:
    slugs = {entity.slug for entity in entities()}
    assert {row.entity for row in disclosed} <= slugs
    assert {row.entity for row in structures} <= slugs
    assert {row.entity for row in actions} <= slugs
    assert {close.entity for close in closes()} - {None} <= slugs


def test_a_fact_is_told_apart_by_what_the_database_keys_it_by(
    disclosed: list[BundledDisclosure], structures: list[BundledCapital]
) -> None:
    reported = Counter((d.entity, d.as_of, d.asset, d.kind, d.measure, d.source) for d in disclosed)
    assert reported.most_common(1)[0][1] == 1
    fields = Counter((row.entity, row.as_of, row.field, row.source) for row in structures)
    assert fields.most_common(1)[0][1] == 1


def test_every_quantity_is_whole_base_units(disclosed: list[BundledDisclosure]) -> None:
    amounts = [to_base_units(d.quantity, d.asset) for d in disclosed if d.quantity is not None]
    assert len(amounts) == len(disclosed) - 1
    assert max(amounts) == 6_016_414 * 10**18


def test_strategy_sales_are_as_stated(disclosed: list[BundledDisclosure]) -> None:
    sales = of(disclosed, "strategy", "sale")
    assert [(d.as_of, d.quantity, d.cost_usd) for d in sales] == [
        (date(2022, 12, 22), 704, None),
        (date(2026, 5, 31), 32, 2_500_000),
        (date(2026, 6, 30), 1363, 80_800_000),
        (date(2026, 7, 5), 2225, 135_200_000),
        (date(2026, 8, 2), 1638, 104_700_000),
        (date(2026, 8, 9), 1690, 108_600_000),
    ]
    assert sum(d.quantity or 0 for d in sales[2:]) == 6916
    assert all("sec.gov/Archives" in d.source for d in sales)


def test_a_quarters_purchases_are_not_counted_beside_its_weeks(
    disclosed: list[BundledDisclosure],
) -> None:
    quarter_ends = {date(2025, 3, 31), date(2025, 6, 30), date(2025, 9, 30)}
    purchases = of(disclosed, "strategy", "purchase")
    assert not quarter_ends & {d.as_of for d in purchases}
    totals = {d.as_of: d.quantity for d in of(disclosed, "strategy", "total")}
    second_quarter = [d for d in purchases if date(2025, 3, 31) < d.as_of <= date(2025, 6, 30)]
    held, opening = totals[date(2025, 6, 30)], totals[date(2025, 3, 31)]
    assert held is not None
    assert opening is not None
    assert sum(d.quantity or 0 for d in second_quarter) == held - opening == 69140


def test_sharplink_changes_its_measure_and_sells_nothing(
    disclosed: list[BundledDisclosure],
) -> None:
    totals = of(disclosed, "sharplink", "total", "ETH")
    other = {d.as_of: d.quantity for d in totals if d.measure == "native_plus_lst_units"}
    assert other == {date(2025, 6, 30): 189435, date(2025, 9, 30): 817747}
    same = [d.quantity or Decimal(0) for d in totals if d.measure == "total"]
    assert len(same) == 21
    assert same == sorted(same)
    assert not of(disclosed, "sharplink", "sale", "ETH")


def test_staked_is_a_part_of_the_position(disclosed: list[BundledDisclosure]) -> None:
    bitmine = of(disclosed, "bitmine", "total", "ETH")
    whole = {d.as_of: d.quantity for d in bitmine if d.measure == "total"}
    staked = {d.as_of: d.quantity for d in bitmine if d.measure == "staked"}
    assert len(staked) == 9
    assert all((staked[day] or 0) < (whole[day] or 0) for day in staked)


def test_trump_media_pledged_and_did_not_sell(disclosed: list[BundledDisclosure]) -> None:
    (pledge,) = of(disclosed, "trump-media", "pledge")
    assert (pledge.as_of, pledge.quantity) == (date(2026, 2, 25), 2000)
    assert pledge.measure == "derecognised"
    totals = {d.as_of: d.quantity for d in of(disclosed, "trump-media", "total")}
    before, after = totals[date(2025, 12, 31)], totals[date(2026, 2, 25)]
    assert before is not None
    assert after is not None
    assert before - after == pledge.quantity
    assert not of(disclosed, "trump-media", "sale")


def test_coins_that_are_not_the_entitys_are_no_position(
    disclosed: list[BundledDisclosure],
) -> None:
    measures = {d.entity: d.measure for d in disclosed if d.measure in ("committed", "transferred")}
    assert measures == {
        "cantor-equity-partners-i": "committed",
        "semler-scientific": "transferred",
    }


def test_a_reduction_without_a_stated_sale_makes_no_sale(
    disclosed: list[BundledDisclosure],
) -> None:
    assert [d.as_of for d in of(disclosed, "sequans", "sale")] == [
        date(2025, 11, 4), date(2026, 9, 24),
    ]  # fmt: skip
    assert not of(disclosed, "genius-group", "sale")
    assert not of(disclosed, "fold", "sale")
    (unstated,) = [d for d in disclosed if d.quantity is None]
    assert (unstated.entity, unstated.kind, unstated.cost_usd) == ("ethzilla", "sale", 40_000_000)


def test_publication_is_edgars_acceptance_in_utc(disclosed: list[BundledDisclosure]) -> None:
    published = {
        d.as_of: d.published_at for d in of(disclosed, "strategy", "total") if d.published_at
    }
    assert len(published) == 98
    # 8 a.m. in New York: in winter 13:00 UTC, in summer 12:00.
    assert published[date(2025, 3, 2)] == datetime(2025, 3, 3, 13, 0, 9, tzinfo=UTC)
    assert published[date(2025, 7, 20)] == datetime(2025, 7, 21, 12, 0, 32, tzinfo=UTC)
    assert all(when.date() >= day for day, when in published.items())
    assert date(2026, 5, 31) not in published


def test_a_listed_exchanges_coins_are_its_holders(disclosed: list[BundledDisclosure]) -> None:
    assert [d.quantity for d in of(disclosed, "coinbase-corporate", "total")] == [17311]
    assert not of(disclosed, "coinbase", "total")


def test_partial_figures_say_so(structures: list[BundledCapital]) -> None:
    partial = [row for row in structures if not row.complete]
    class_a_only = [row for row in partial if row.field == "basic_shares"]
    assert {(row.entity, row.as_of) for row in class_a_only} == {
        ("strategy", date(2020, 9, 30)), ("strategy", date(2020, 12, 31)),
    }  # fmt: skip
    assert Counter(row.field for row in partial) == {
        "diluted_shares": 23, "debt_usd": 5, "basic_shares": 2,
    }  # fmt: skip


def test_an_explicit_zero_is_kept(structures: list[BundledCapital]) -> None:
    debts = {
        row.as_of: row.value
        for row in structures
        if (row.entity, row.field) == ("bitmine", "debt_usd")
    }
    assert debts[date(2025, 5, 31)] == 2391407
    assert debts[date(2026, 10, 4)] == 0


def test_metaplanets_counts_stand_on_the_basis_of_2025(
    structures: list[BundledCapital], actions: list[BundledCorporateAction]
) -> None:
    """They are adjusted already: no split may be applied a second time."""
    counts = [row for row in structures if row.entity == "metaplanet" and row.basis_date]
    assert {row.basis_date for row in counts if row.as_of < date(2025, 3, 28)} == {
        date(2025, 3, 28)
    }
    assert all(brought(row, date(2026, 2, 6), actions) == row.value for row in counts)


def test_no_jump_across_strategys_split(
    structures: list[BundledCapital],
    actions: list[BundledCorporateAction],
    prices: dict[str, dict[date, Decimal]],
) -> None:
    counts = [
        row
        for row in structures
        if (row.entity, row.field, row.complete) == ("strategy", "basic_shares", True)
    ]
    basis = max(prices["MSTR"])
    caps = []
    for day, close in sorted(prices["MSTR"].items()):
        known = [row for row in counts if row.as_of <= day]
        if known:
            caps.append((day, brought(known[-1], basis, actions) * Fraction(close)))
    of_day = dict(caps)
    before, after = date(2024, 8, 7), date(2024, 8, 8)
    traded = Fraction(prices["MSTR"][after]) / Fraction(prices["MSTR"][before])
    assert of_day[after] / of_day[before] == traded
    steps = [later / earlier for (_, earlier), (_, later) in pairwise(caps)]
    assert Fraction(3, 5) < min(steps)
    assert max(steps) < Fraction(8, 5)


def test_strategys_basic_mnav_at_the_end_of_2023(
    structures: list[BundledCapital],
    actions: list[BundledCorporateAction],
    prices: dict[str, dict[date, Decimal]],
) -> None:
    """About 1.34; a count on the old basis beside a split-adjusted close would give 0.134."""
    (count,) = [
        row
        for row in structures
        if (row.entity, row.field, row.as_of) == ("strategy", "basic_shares", date(2023, 12, 31))
    ]
    day = date(2023, 12, 29)
    shares = brought(count, max(prices["MSTR"]), actions)
    mnav = shares * Fraction(prices["MSTR"][day]) / (189150 * Fraction(prices["BTC"][day]))
    assert round(float(mnav), 2) == 1.34


def test_twenty_one_counts_the_shares_with_an_economic_right(
    structures: list[BundledCapital], prices: dict[str, dict[date, Decimal]]
) -> None:
    (count,) = [
        row for row in structures if (row.entity, row.field) == ("twenty-one", "basic_shares")
    ]
    # The company states about 12,559 satoshi a share.
    assert round(Decimal(43514) * 10**8 / count.value) == 12556
    assert min(prices["XXI"]) == date(2025, 12, 9)
    assert max(prices["CEP"]) == date(2025, 12, 8)


def test_a_split_is_not_seen_in_the_closes(
    actions: list[BundledCorporateAction], prices: dict[str, dict[date, Decimal]]
) -> None:
    symbols = {close.entity: close.symbol for close in closes() if close.entity}
    seen = []
    for action in actions:
        series = prices.get(symbols.get(action.entity, ""), {})
        days = sorted(series)
        if days and days[0] < action.effective <= days[-1]:
            after = next(i for i, day in enumerate(days) if day >= action.effective)
            step = series[days[after]] / series[days[after - 1]]
            assert Decimal("0.5") < step < 2, action
            seen.append(action.entity)
    assert sorted(seen) == ["bitmine", "metaplanet", "metaplanet", "sharplink", "strategy"]


def test_closes(prices: dict[str, dict[date, Decimal]]) -> None:
    assert len(prices["BTC"]) == 2976
    assert (min(prices["BTC"]), max(prices["BTC"])) == (date(2018, 1, 1), date(2026, 2, 23))
    assert prices["BTC"][date(2018, 1, 1)] == Decimal("13657.20")
    assert len(prices["ETH"]) == 730
    # Trap: the rise to five times in a day is real, no split.
    assert prices["SBET"][date(2025, 5, 27)] > 5 * prices["SBET"][date(2025, 5, 23)]
    shares = [close for close in closes() if close.entity]
    assert {close.symbol for close in shares} == {
        "3350.T", "BMNR", "BTBT", "CIFR", "DFDV", "HUT", "MARA", "MSTR", "NAKA", "SBET", "XXI",
    }  # fmt: skip
    assert {close.currency for close in shares if close.symbol == "3350.T"} == {"JPY"}
    for close in shares:
        assert close.basis_date == max(prices[close.symbol])


def test_exchange_rates_are_usd_for_one_unit() -> None:
    rates = {(rate.day, rate.currency): rate.usd_per_unit for rate in fx_rates()}
    day = date(2020, 1, 2)
    assert rates[day, "EUR"] == Decimal("1.1193")
    assert abs(1 / rates[day, "JPY"] - Decimal("108.773340")) < Decimal("0.000001")
    assert len(rates) == 14008
    assert len({currency for _, currency in rates}) == 8
    assert all(len(rate.as_tuple().digits) >= 8 for (_, c), rate in rates.items() if c == "JPY")
