"""Realistic samples of every event type, so that a receiver can be tried before it matters.

The entity, transactions and amounts are made up; `"test": true` says so in every sample.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tracker.domain.alert import EVENT_TYPES, Belief, Severity, Transition
from tracker.errors import InputError
from tracker.events.body import utc_text

PING = "test.ping"
# One alert that all samples are about, so that `opened` and `retracted` can be tried as a pair.
ALERT_ID = "al_" + hashlib.sha256(b"the sample alert").hexdigest()[:24]

_ENTITY = {"slug": "example-treasury", "name": "Example Treasury Inc.", "kind": "dat"}
_DISCLOSED = 4_219_00000000  # satoshi


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample event before its body is made."""

    id: str
    severity: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Step:
    """What differs between the revisions of the sample alert."""

    revision: int
    clips: int
    state: Belief
    severity: Severity
    finality: str
    intent: str
    probability: str
    why: str


_STEPS = {
    Transition.OPENED: _Step(
        1, 1, Belief.PROBABLE, Severity.WARNING, "latest", "sale", "0.87",
        "120 BTC went to an exchange's deposit address",
    ),
    Transition.REVISED: _Step(
        2, 2, Belief.PROBABLE, Severity.CRITICAL, "latest", "sale", "0.94",
        "a second transfer of 120 BTC within two hours",
    ),
    Transition.CLOSED: _Step(
        3, 2, Belief.DISCLOSED, Severity.CRITICAL, "final", "sale", "0.99",
        "the holder's filing states the sale",
    ),
    Transition.RETRACTED: _Step(
        3, 1, Belief.SUSPECTED, Severity.INFO, "latest", "custody_move", "0.06",
        "the chain dropped the transaction: the coins did not move",
    ),
}  # fmt: skip


def sample(event_type: str, *, series: str, base_url: str, now: datetime) -> Sample:
    """A sample of `event_type` as if it happened just before `now`.

    `series` (letters and digits) makes the ids of one call differ from those of another, while
    `supersedes` names the revision before it in the same series. Raises `InputError` for a type
    that is never sent.
    """
    if event_type not in EVENT_TYPES:
        raise InputError(
            "unknown event type",
            field="type",
            value=event_type,
            mend=f"use one of {', '.join(EVENT_TYPES)}",
        )
    if event_type == PING:
        event_id = f"evt_test_{series}_ping"
        return Sample(
            event_id,
            Severity.INFO.value,
            {"event_id": event_id, "test": True, "says": "the endpoint can be reached"},
        )
    rule, _, name = event_type.partition(".")
    transition = Transition(name)
    data = _alert_data(rule, transition, series, base_url, now)
    return Sample(data["event_id"], data["severity"], data)


def _alert_data(
    rule: str, transition: Transition, series: str, base_url: str, now: datetime
) -> dict[str, Any]:
    step = _STEPS[transition]
    satoshi = 120_00000000 * step.clips
    ground = [
        _transfer(place, standing=transition is not Transition.RETRACTED)
        for place in range(step.clips)
    ]
    if step.state is Belief.DISCLOSED:
        ground.append(_disclosure(now))
    return {
        "event_id": _event_id(series, step.revision, transition),
        "alert_id": ALERT_ID,
        "revision": step.revision,
        "supersedes": _superseded(series, transition),
        "rule": rule,
        "state": step.state.value,
        "severity": step.severity.value,
        "finality": step.finality,
        "corroboration": {"agree": 1, "asked": 1},
        "entity": dict(_ENTITY),
        "asset": "BTC",
        "quantity": str(satoshi // 10**8),
        "amount": str(satoshi),
        "share_of_disclosed": format(Decimal(satoshi) / _DISCLOSED, ".6f"),
        "value_usd": str(satoshi // 10**8 * 68_250),
        "intent": step.intent,
        "probability": step.probability,
        "why": step.why,
        "evidence": [
            {
                "rule": "to_exchange_deposit",
                "says": "the coins went to a labelled deposit address of an exchange",
                "weight": 2.2,
                "data": {"venue": "example-exchange", "tier": "attested"},
            },
            {
                "rule": "share_of_disclosed",
                "says": "the amount is a material share of the disclosed holdings",
                "weight": 0.4,
                "data": {"disclosed": str(_DISCLOSED), "as_of": utc_text(now)[:10]},
            },
        ],
        "ground": ground,
        "historical": False,
        "detected_late": False,
        "links": {
            "alert": f"{base_url}/alerts/{ALERT_ID}",
            "api": f"{base_url}/v1/alerts/{ALERT_ID}",
        },
        "test": True,
    }


def _event_id(series: str, revision: int, transition: Transition) -> str:
    return f"evt_test_{series}_{revision}_{transition.value}"


def _superseded(series: str, transition: Transition) -> str | None:
    """The event that the sample replaces: an alert is opened, revised, then closed or retracted."""
    if transition is Transition.OPENED:
        return None
    before = Transition.OPENED if transition is Transition.REVISED else Transition.REVISED
    return _event_id(series, _STEPS[before].revision, before)


def _transfer(place: int, *, standing: bool) -> dict[str, Any]:
    tx, block = (hashlib.sha256(f"sample {what} {place}".encode()).hexdigest() for what in "tb")
    return {
        "kind": "transfer",
        "chain": "bitcoin",
        "tx": tx,
        "height": 866_342 + 9 * place,
        "hash": "0" * 20 + block[20:],
        "explorer_url": f"https://mempool.space/tx/{tx}",
        "standing": standing,
    }


def _disclosure(now: datetime) -> dict[str, Any]:
    return {
        "kind": "disclosure",
        "document": "https://example.org/filings/8-k.htm",
        "published_at": utc_text(now - timedelta(minutes=4)),
        "quote": "During the period the Company sold 240 bitcoin.",
        "standing": True,
    }
