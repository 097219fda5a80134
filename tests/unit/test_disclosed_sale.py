"""Falls between disclosures, on the bundled facts and on made ones."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.domain.disclosed_sale import DisclosedFact, Incident, Reason, falls, incidents
from tracker.domain.units import to_base_units
from tracker.facts import bundled

COIN = 10**8


def fact(day: str, amount: int | None, kind: str = "total", **more: object) -> DisclosedFact:
    values = {"measure": "total", "evidence": "primary", "source": f"filing {day} {kind}"} | more
    return DisclosedFact(as_of=date.fromisoformat(day), kind=kind, amount=amount, **values)


def of(slug: str, asset: str) -> list[DisclosedFact]:
    return [
        DisclosedFact(
            as_of=row.as_of,
            kind=row.kind,
            amount=None if row.quantity is None else to_base_units(row.quantity, asset),
            measure=row.measure,
            evidence=row.evidence,
            source=row.source,
            published_at=row.published_at,
            cost=row.cost_usd,
        )
        for row in bundled.disclosures()
        if row.entity == slug and row.asset == asset
    ]


def sizes(found: list[Incident]) -> list[list[int]]:
    return [[clip.amount // COIN for clip in item.clips if clip.amount] for item in found]


def test_strategy_sold_in_december_2022_in_may_2026_and_then_in_four_clips() -> None:
    found = incidents(of("strategy", "BTC"), "BTC")
    assert sizes(found) == [[704], [32], [1363, 2225, 1637, 1691]]
    four = found[-1]
    assert sum(clip.amount or 0 for clip in four.clips) == 6916 * COIN
    assert len({clip.ground["document"] for clip in four.clips}) >= 3
    assert all(clip.ground["document"].startswith("https://www.sec.gov/") for clip in four.clips)
    assert four.closed_on == date(2026, 8, 30)
    assert found[1].clips[0].first_in_year
    assert not four.clips[0].first_in_year


@pytest.mark.parametrize(
    ("slug", "asset"),
    [("sharplink", "ETH"), ("trump-media", "BTC"), ("zooz", "BTC"), ("bitmine", "ETH")],
)
def test_what_is_no_sale_is_not_called_one(slug: str, asset: str) -> None:
    facts = of(slug, asset)
    assert facts
    assert incidents(facts, asset) == []


@pytest.mark.parametrize(
    ("slug", "asset", "coins"),
    [
        ("mara", "BTC", 15133),
        ("sequans", "BTC", 970),
        ("btcs", "ETH", 10000),
        ("fg-nexus", "ETH", 10922),
        ("ethzilla", "ETH", 24291),
    ],
)
def test_a_stated_sale_is_a_disclosed_one(slug: str, asset: str, coins: int) -> None:
    clips = [clip for item in incidents(of(slug, asset), asset) for clip in item.clips]
    (clip,) = [c for c in clips if c.amount == to_base_units(Decimal(coins), asset)]
    assert clip.belief == "disclosed"


def test_pledge_and_rounding_are_named() -> None:
    (pledge,) = falls(of("trump-media", "BTC"), "BTC")
    assert pledge.reason is Reason.PLEDGE
    (rounding,) = falls(of("zooz", "BTC"), "BTC")
    assert rounding.reason is Reason.ROUNDING


def test_figures_of_different_measures_are_never_compared() -> None:
    facts = [fact("2026-01-01", 100 * COIN), fact("2026-02-01", 90 * COIN, measure="staked")]
    assert falls(facts, "BTC") == []


def test_two_figures_of_one_day_are_a_contradiction_not_a_fall() -> None:
    facts = [
        fact("2026-01-01", 90 * COIN),
        fact("2026-01-31", 100 * COIN, evidence="press"),
        fact("2026-01-31", 95 * COIN, source="other"),
    ]
    assert falls(facts, "BTC") == []


def test_a_fall_that_nobody_explains_is_only_suspected() -> None:
    facts = [fact("2026-01-01", 100 * COIN), fact("2026-02-01", 90 * COIN)]
    ((clip,),) = [item.clips for item in incidents(facts, "BTC")]
    assert (clip.belief, clip.amount) == ("suspected", 10 * COIN)


def test_a_press_figure_alone_makes_no_alert() -> None:
    facts = [fact("2026-01-01", 100 * COIN), fact("2026-02-01", 90 * COIN, evidence="press")]
    assert incidents(facts, "BTC") == []


def test_a_sale_beside_a_larger_purchase_is_still_a_sale() -> None:
    facts = [
        fact("2026-01-01", 100 * COIN),
        fact("2026-01-20", 5 * COIN, "sale"),
        fact("2026-02-01", 120 * COIN),
    ]
    assert sizes(incidents(facts, "BTC")) == [[5]]


def test_a_sale_without_an_amount_takes_the_fall_or_stays_unknown() -> None:
    sale = fact("2026-01-20", None, "sale", cost=Decimal(40_000_000))
    assert incidents([sale], "BTC")[0].clips[0].amount is None
    around = [fact("2026-01-01", 100 * COIN), sale, fact("2026-02-01", 80 * COIN)]
    assert sizes(incidents(around, "BTC")) == [[20]]


def test_a_sale_after_the_last_balance_is_judged_by_it() -> None:
    facts = [fact("2026-01-01", 100 * COIN), fact("2026-01-20", 10 * COIN, "sale")]
    ((clip,),) = [item.clips for item in incidents(facts, "BTC")]
    assert clip.disclosed == 100 * COIN
    assert "after" not in clip.evidence[0].data
    alone = incidents([fact("2026-01-01", 10 * COIN, "sale"), facts[0]], "BTC")
    assert alone[0].clips[0].disclosed is None


def test_a_rise_ends_an_incident() -> None:
    facts = [
        fact("2026-01-01", 100 * COIN),
        fact("2026-01-08", 90 * COIN),
        fact("2026-01-15", 95 * COIN),
        fact("2026-01-22", 85 * COIN),
    ]
    found = incidents(facts, "BTC")
    assert sizes(found) == [[10], [10]]
    assert found[0].closed_on == date(2026, 1, 15)


def test_the_time_is_the_publication_where_it_is_known() -> None:
    published = datetime(2026, 2, 3, 12, tzinfo=UTC)
    facts = [
        fact("2026-01-01", 100 * COIN),
        fact("2026-02-01", 90 * COIN, published_at=published),
    ]
    assert incidents(facts, "BTC")[0].clips[0].at == published


@given(
    st.lists(
        st.tuples(
            st.dates(date(2020, 1, 1), date(2026, 12, 31)),
            st.integers(0, 21_000_000 * COIN),
            st.sampled_from(["total", "total", "sale", "purchase", "pledge"]),
        ),
        max_size=30,
    )
)
def test_any_history_gives_ordered_incidents_of_ordered_clips(
    rows: list[tuple[date, int, str]],
) -> None:
    facts = [fact(day.isoformat(), amount, kind) for day, amount, kind in rows]
    found = incidents(facts, "BTC")
    clips = [clip for item in found for clip in item.clips]
    assert [c.at for c in clips] == sorted(c.at for c in clips)
    assert all(item.clips and item.first_ground == item.clips[0].ref for item in found)
    # The order in which facts are stored never matters.
    assert incidents(list(reversed(facts)), "BTC") == found or len(
        {(f.as_of, f.kind) for f in facts}
    ) < len(facts)
