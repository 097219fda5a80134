"""Samples: one of every type, in the contract's shape, marked as a test."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tracker.domain.alert import EVENT_TYPES, Belief, Severity
from tracker.domain.units import to_base_units
from tracker.errors import InputError
from tracker.events.body import event_body
from tracker.webhooks import samples

NOW = datetime(2026, 10, 4, 12, 0, 0, tzinfo=UTC)
BASE = "http://127.0.0.1:8321"
FROZEN = {
    "event_id", "alert_id", "revision", "supersedes", "rule", "state", "severity", "finality",
    "corroboration", "entity", "asset", "quantity", "amount", "share_of_disclosed", "value_usd",
    "intent", "probability", "evidence", "ground", "historical", "detected_late", "links",
}  # fmt: skip
ALERT_TYPES = [name for name in EVENT_TYPES if name != samples.PING]


def sample(event_type: str, series: str = "ab12") -> samples.Sample:
    return samples.sample(event_type, series=series, base_url=BASE, now=NOW)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_type_has_a_sample_that_makes_a_body(event_type: str) -> None:
    made = sample(event_type)
    assert made.data["test"] is True
    assert made.data["event_id"] == made.id
    assert made.severity in tuple(Severity)
    assert event_body(event_type, NOW, made.data)


@pytest.mark.parametrize("event_type", ALERT_TYPES)
def test_an_alert_sample_has_the_contract_s_fields(event_type: str) -> None:
    data = sample(event_type).data
    assert data.keys() >= FROZEN
    assert data["state"] in tuple(Belief)
    assert set(data["corroboration"]) == {"agree", "asked"}
    assert set(data["entity"]) == {"slug", "name", "kind"}
    assert set(data["links"]) == {"alert", "api"}
    assert to_base_units(Decimal(data["quantity"]), "BTC") == int(data["amount"])
    assert Decimal(0) < Decimal(data["share_of_disclosed"]) < 1
    assert all({"rule", "says", "weight", "data"} == set(item) for item in data["evidence"])
    for item in data["ground"]:
        wanted = (
            {"kind", "chain", "tx", "height", "hash", "explorer_url"}
            if item["kind"] == "transfer"
            else {"kind", "document", "published_at", "quote"}
        )
        assert wanted <= item.keys()


def test_opened_and_retracted_are_one_alert() -> None:
    opened, retracted = sample("sell_off.opened").data, sample("sell_off.retracted").data
    assert opened["alert_id"] == retracted["alert_id"]
    assert opened["supersedes"] is None
    assert retracted["supersedes"] == sample("sell_off.revised").id
    assert sample("sell_off.revised").data["supersedes"] == opened["event_id"]
    assert retracted["revision"] > opened["revision"]
    assert not any(item["standing"] for item in retracted["ground"])


def test_another_series_has_other_ids_and_the_same_alert() -> None:
    one, other = sample("sell_off.opened", "ab12"), sample("sell_off.opened", "cd34")
    assert one.id != other.id
    assert one.data["alert_id"] == other.data["alert_id"]


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(InputError, match="unknown event type"):
        sample("sell_off.exploded")
