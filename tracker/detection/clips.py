"""Clips as JSON and back: an alert's ground keeps what the fold over it needs."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from tracker.domain.alert import Belief, Evidence
from tracker.domain.entity import Tier
from tracker.domain.sell_off import Clip


def clip_json(clip: Clip) -> dict[str, Any]:
    """The stored form: amounts and decimals as text, so that nothing passes through a float."""
    return {
        "clip": {
            "ref": clip.ref,
            "kind": clip.kind,
            "at": clip.at.isoformat(),
            "amount": None if clip.amount is None else str(clip.amount),
            "value_usd": None if clip.value_usd is None else str(clip.value_usd),
            "probability": str(clip.probability),
            "belief": str(clip.belief),
            "disclosed": None if clip.disclosed is None else str(clip.disclosed),
            "first_in_year": clip.first_in_year,
            "tiers": [str(tier) for tier in clip.tiers],
            "says": clip.says,
            "intent": clip.intent,
            "evidence": [item.as_dict() for item in clip.evidence],
            "agree": clip.agree,
            "asked": clip.asked,
        },
        "shown": clip.ground,
    }


def clip_of(data: dict[str, Any]) -> Clip:
    """The clip that `clip_json` stored."""
    stored = data["clip"]
    return Clip(
        ref=stored["ref"],
        kind=stored["kind"],
        at=datetime.fromisoformat(stored["at"]),
        amount=None if stored["amount"] is None else int(stored["amount"]),
        value_usd=None if stored["value_usd"] is None else Decimal(stored["value_usd"]),
        probability=Decimal(stored["probability"]),
        belief=Belief(stored["belief"]),
        disclosed=None if stored["disclosed"] is None else int(stored["disclosed"]),
        first_in_year=stored["first_in_year"],
        tiers=tuple(Tier(tier) for tier in stored["tiers"]),
        says=stored["says"],
        intent=stored["intent"],
        evidence=tuple(Evidence(**item) for item in stored["evidence"]),
        agree=stored.get("agree", 1),
        asked=stored.get("asked", 1),
        ground=data["shown"],
    )
