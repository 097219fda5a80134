"""Subscriptions: which events an endpoint asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tracker.domain import subscription
from tracker.domain.alert import Severity
from tracker.domain.entity import Kind, Tier
from tracker.domain.subscription import Subject, Subscription, matches
from tracker.errors import InputError

SALE = Subject(
    type="sell_off.opened",
    stream="alerts",
    severity=Severity.WARNING,
    entity_slug="strategy",
    entity_kind=Kind.DAT,
    asset="BTC",
    tier=Tier.VENDOR,
)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Subscription(), True),
        (Subscription(types=("*",)), True),
        (Subscription(types=("sell_off.*",)), True),
        (Subscription(types=("*.opened",)), True),
        (Subscription(types=("sell_*.opened",)), True),
        (Subscription(types=("sell_off.opened",)), True),
        (Subscription(types=("sell_off",)), False),
        (Subscription(types=("sell_off.retracted",)), False),
        (Subscription(types=("*.retracted", "sell_off.opened")), True),
        (Subscription(entities=("strategy",)), True),
        (Subscription(entities=("mara",)), False),
        (Subscription(entities=("mara",), cohorts=("all_dats",)), True),
        (Subscription(cohorts=("btc_dats",)), True),
        (Subscription(cohorts=("eth_dats",)), False),
        (Subscription(cohorts=("sovereigns", "etfs", "foundations")), False),
        (Subscription(assets=("BTC",)), True),
        (Subscription(assets=("ETH",)), False),
        (Subscription(min_severity=Severity.WARNING), True),
        (Subscription(min_severity=Severity.CRITICAL), False),
        (Subscription(min_tier=Tier.VENDOR), True),
        (Subscription(min_tier=Tier.USER), True),
        (Subscription(min_tier=Tier.FILING), False),
        (Subscription(types=("sell_off.*",), assets=("ETH",)), False),
    ],
)
def test_each_filter(asked: Subscription, expected: bool) -> None:
    assert matches(asked, SALE) is expected


def test_operations_come_only_when_named_exactly() -> None:
    stale = Subject(type="source_stale", stream="operations", severity=Severity.WARNING)
    assert not matches(Subscription(), stale)
    assert not matches(Subscription(types=("*",)), stale)
    assert not matches(Subscription(types=("source_*",)), stale)
    assert matches(Subscription(types=("source_stale",)), stale)


def test_an_event_that_rests_on_no_label_passes_every_tier() -> None:
    disclosed = replace(SALE, tier=None)
    assert matches(Subscription(min_tier=Tier.PROVED), disclosed)


def test_an_event_without_an_entity_is_not_for_who_asked_for_some() -> None:
    nobody = replace(SALE, entity_slug=None, entity_kind=None)
    assert matches(Subscription(), nobody)
    assert not matches(Subscription(entities=("strategy",)), nobody)
    assert not matches(Subscription(cohorts=("all_dats",)), nobody)


def test_liquid_staked_ether_is_an_eth_dat_matter() -> None:
    assert subscription.in_cohort("eth_dats", Kind.DAT, "wstETH")
    assert not subscription.in_cohort("eth_dats", Kind.FOUNDATION, "ETH")


@pytest.mark.parametrize("pattern", ["", "sell_of.*", "SELL_OFF.*", "sell_off.*; drop", "mnav.*"])
def test_a_pattern_that_no_event_has_is_refused(pattern: str) -> None:
    with pytest.raises(InputError, match="no event type"):
        subscription.check_pattern(pattern)


def test_an_unknown_cohort_is_refused() -> None:
    with pytest.raises(InputError, match="unknown cohort"):
        subscription.check_cohort("all_the_dats")
