"""What is said of an entity: never a zero where nothing is known."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

from tracker.db.registry import Entity
from tracker.domain.entity import Tier
from tracker.registry.observability import NO_WALLET, describe


def entity(kind: str = "dat", role: str = "holder", ticker: str | None = None) -> Entity:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Entity(slug="acme", name="Acme", kind=kind, role=role, ticker=ticker, recorded_at=now)


def test_a_holder_without_wallets_is_seen_by_its_disclosures_only() -> None:
    said = describe(entity(ticker="ACME"), frozenset(), True, None, last_as_of=date(2026, 5, 31))
    assert said["observability"] == "disclosure_only"
    complete = said["completeness"]
    assert complete["chain_observed"] is False
    assert complete["onchain_reason"] == NO_WALLET
    assert complete["coverage"] is None
    assert complete["coverage_reason"] == NO_WALLET
    assert complete["disclosures"] == {"known": True, "count": None, "last_as_of": "2026-05-31"}
    assert complete["missing"] == ["wallets", "treasury_class"]
    assert "2026-05-31" in complete["says"]
    assert "0" not in complete["says"].replace("2026-05-31", "")


def test_every_wallet_attested_makes_it_attested_and_one_other_partial() -> None:
    attested = describe(entity(), {Tier.ATTESTED: 3, Tier.PROVED: 1}, True, Decimal("0.9500"))
    assert attested["observability"] == "attested"
    assert attested["completeness"]["wallets"] == {
        "count": 4,
        "by_tier": {"proved": 1, "attested": 3},
    }
    assert attested["completeness"]["coverage"] == "0.95"
    assert attested["completeness"]["coverage_reason"] is None
    assert "95.0%" in attested["completeness"]["says"]
    partial = describe(entity(), {Tier.ATTESTED: 3, Tier.VENDOR: 1}, True, None)
    assert partial["observability"] == "partial"
    assert partial["completeness"]["coverage_reason"]
    assert attested["completeness"]["score"] > partial["completeness"]["score"]


def test_uncounted_tiers_are_not_counted_as_none() -> None:
    said = describe(entity(), frozenset({Tier.VENDOR}), False, None)["completeness"]
    assert said["wallets"] == {"count": None, "by_tier": {"vendor": None}}
    assert said["disclosures"]["count"] == 0
    assert "discloses no holdings" in said["coverage_reason"]


def test_nothing_known_says_so_and_scores_lowest() -> None:
    nothing = describe(entity("sovereign"), {}, False, None)
    assert nothing["observability"] == "none"
    assert nothing["completeness"]["score"] == 0
    assert nothing["completeness"]["missing"] == ["wallets", "disclosures"]


def test_a_venue_is_no_subject_of_completeness() -> None:
    venue = describe(entity("exchange", "venue"), {}, False, None)["completeness"]
    assert venue["missing"] == []
    assert venue["says"].startswith("A venue")


def test_a_coverage_above_one_is_shown_as_it_is() -> None:
    said = describe(entity(), {Tier.VENDOR: 1}, True, Decimal(12))
    assert said["completeness"]["coverage"] == "12"
    json.dumps(said)
