"""The vocabulary of alerts: severity, belief, finality, identity."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from tracker.domain.entity import Tier


class Severity(StrEnum):
    """How loud a finding is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 info, 1 warning, 2 critical."""
        return list(Severity).index(self)


class Belief(StrEnum):
    """How far the claim itself is believed (the `state` of an alert)."""

    SUSPECTED = "suspected"
    PROBABLE = "probable"
    CONFIRMED = "confirmed"
    DISCLOSED = "disclosed"


class Transition(StrEnum):
    """What a revision did; with the rule it names the event type."""

    OPENED = "opened"
    REVISED = "revised"
    CLOSED = "closed"
    RETRACTED = "retracted"


# Every rule and so every event type that the service can send today.
RULES = ("sell_off",)
EVENT_TYPES = tuple(f"{rule}.{step}" for rule in RULES for step in Transition) + ("test.ping",)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One named rule with what it says, its weight in log-odds and the data that it saw."""

    rule: str
    says: str
    weight: float = 0.0
    data: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of the contract."""
        return {"rule": self.rule, "says": self.says, "weight": self.weight, "data": self.data}


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's finding as it stands now: the pure input of an alert's next revision.

    `amount` in base units (positive), `value_usd` in USD at the time of the ground, `at` the time
    of the newest ground. Of `asked` sources `agree` have the ground that fewest have.
    """

    rule: str
    entity_slug: str
    asset: str
    first_ground: str
    state: Belief
    severity: Severity
    intent: str
    probability: Decimal
    amount: int | None
    share_of_disclosed: Decimal | None
    value_usd: Decimal | None
    evidence: tuple[Evidence, ...]
    at: datetime
    why: str
    agree: int = 1
    asked: int = 1


def alert_id(rule: str, entity_slug: str, asset: str, first_ground: str) -> str:
    """A stable id: the same incident has it in every run, on every branch of the chain."""
    text = "\x1f".join((rule, entity_slug, asset, first_ground))
    return "al_" + hashlib.sha256(text.encode()).hexdigest()[:24]


def cap_by_tier(severity: Severity, *tiers: Tier) -> Severity:
    """`severity`, no higher than the weakest label allows.

    A heuristic or user label at either end caps at `warning` (design section 8).
    """
    weak = any(tier.rank >= Tier.HEURISTIC.rank for tier in tiers)
    return Severity.WARNING if weak and severity is Severity.CRITICAL else severity
