"""The body of an event: stable bytes, exact form, never too large, never invalid."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import InputError
from tracker.events.body import MAX_BYTES, event_body

AT = datetime(2026, 10, 4, 12, 0, 0, 123456, tzinfo=UTC)


def evidence(count: int, size: int = 100) -> list[dict[str, Any]]:
    return [{"rule": f"r{number}", "says": "é" * size} for number in range(count)]


def test_the_form() -> None:
    body = event_body("sell_off.opened", AT, {"b": "Zürich", "a": None, "amount": "-1"})
    assert (
        body
        == (
            '{"type":"sell_off.opened","timestamp":"2026-10-04T12:00:00Z",'
            '"data":{"a":null,"amount":"-1","b":"Zürich"}}'
        ).encode()
    )


def test_the_order_of_keys_and_the_zone_do_not_matter() -> None:
    tokyo = AT.astimezone(timezone(timedelta(hours=9)))
    assert event_body("x", AT, {"a": {"c": 1, "d": 2}, "b": 3}) == event_body(
        "x", tokyo, {"b": 3, "a": {"d": 2, "c": 1}}
    )


def test_evidence_is_trimmed_from_the_end_and_marked() -> None:
    body = event_body("x", AT, {"evidence": evidence(500), "ground": evidence(3), "z": 1})
    data = json.loads(body)["data"]
    assert len(body) < MAX_BYTES
    assert data["truncated"] is True
    assert data["evidence"] == evidence(500)[: len(data["evidence"])]
    assert len(data["ground"]) == 3
    assert len(body) > MAX_BYTES - 400  # no more is dropped than need be


def test_then_ground_then_long_texts() -> None:
    body = event_body(
        "x", AT, {"evidence": evidence(9), "ground": evidence(500), "why": "w" * 30_000}
    )
    data = json.loads(body)["data"]
    assert len(body) < MAX_BYTES
    assert len(data["evidence"]) == len(data["ground"]) == 1
    assert data["why"].startswith("www")
    assert data["why"].endswith("…")


def test_a_small_body_says_nothing_of_being_cut() -> None:
    assert "truncated" not in json.loads(event_body("x", AT, {"evidence": evidence(2)}))["data"]


def test_what_cannot_be_trimmed_is_refused() -> None:
    with pytest.raises(InputError, match="bytes"):
        event_body("x", AT, {str(number): "v" * 200 for number in range(200)})


@pytest.mark.parametrize("value", [Decimal(1), AT, float("nan"), float("inf"), b"x", "\ud800"])
def test_what_is_not_json_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="not JSON"):
        event_body("x", AT, {"a": value})


@given(
    st.lists(st.text(max_size=400), max_size=120),
    st.lists(st.text(max_size=400), max_size=120),
)
def test_always_valid_and_always_small(says: list[str], quotes: list[str]) -> None:
    clean = [text.encode("utf-8", "replace").decode() for text in (*says, *quotes)]
    data = {
        "evidence": [{"says": text} for text in clean[: len(says)]],
        "ground": [{"quote": text} for text in clean[len(says) :]],
    }
    body = event_body("sell_off.opened", AT, data)
    assert len(body) < MAX_BYTES
    parsed = json.loads(body)["data"]
    assert parsed.get("truncated", False) or parsed == data
