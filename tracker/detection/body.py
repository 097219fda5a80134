"""An alert as the contract shows it: the `data` of an event, the item of a list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tracker.db.alerts import Alert, AlertGround, AlertRevision
from tracker.db.registry import Entity
from tracker.domain.units import quantity_text


def time_text(at: datetime | None) -> str | None:
    """UTC, to the second, with a Z: the form of the contract."""
    if at is None:
        return None
    return at.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def plain(value: Decimal | None) -> str | None:
    """A decimal without exponent or trailing zeros."""
    if value is None:
        return None
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def event_id(alert_id: str, revision: int, transition: str) -> str:
    """The id of the event that tells of a revision; the same in every run."""
    return f"evt_{alert_id.removeprefix('al_')}_{revision}_{transition}"


def links(base_url: str, alert_id: str) -> dict[str, str]:
    """Where a person and a program find the alert."""
    return {"alert": f"{base_url}/alerts/{alert_id}", "api": f"{base_url}/v1/alerts/{alert_id}"}


def _ground(grounds: Sequence[AlertGround]) -> list[dict[str, Any]]:
    return [{**ground.data["shown"], "standing": ground.standing} for ground in grounds]


def event_data(
    alert: Alert,
    entity: Entity,
    grounds: Sequence[AlertGround],
    *,
    transition: str,
    supersedes: str | None,
    why: str,
    base_url: str,
) -> dict[str, Any]:
    """The `data` of an event about `alert` as it stands."""
    return {
        "event_id": event_id(alert.id, alert.revision, transition),
        "alert_id": alert.id,
        "revision": alert.revision,
        "supersedes": supersedes,
        "rule": alert.rule,
        "state": alert.state,
        "severity": alert.severity,
        "finality": alert.finality,
        "corroboration": {"agree": alert.agree, "asked": alert.asked},
        "entity": {"slug": entity.slug, "name": entity.name, "kind": entity.kind},
        "asset": alert.asset,
        "quantity": None if alert.amount is None else quantity_text(alert.amount, alert.asset),
        "amount": None if alert.amount is None else str(alert.amount),
        "share_of_disclosed": plain(alert.share_of_disclosed),
        "value_usd": plain(alert.value_usd),
        "intent": alert.intent,
        "probability": plain(alert.probability),
        "why": why,
        "evidence": alert.evidence,
        "ground": _ground(grounds[-20:]),
        "historical": alert.historical,
        "detected_late": alert.detected_late,
        "links": links(base_url, alert.id),
    }


def alert_view(
    alert: Alert,
    entity: Entity,
    revisions: Sequence[AlertRevision],
    grounds: Sequence[AlertGround],
    *,
    deliveries: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The item of `/v1/alerts`."""
    return {
        "id": alert.id,
        "rule": alert.rule,
        "entity": {"slug": entity.slug, "name": entity.name, "kind": entity.kind},
        "asset": alert.asset,
        "state": alert.state,
        "status": alert.status,
        "severity": alert.severity,
        "finality": alert.finality,
        "corroboration": {"agree": alert.agree, "asked": alert.asked},
        "intent": alert.intent,
        "probability": plain(alert.probability),
        "quantity": None if alert.amount is None else quantity_text(alert.amount, alert.asset),
        "amount": None if alert.amount is None else str(alert.amount),
        "share_of_disclosed": plain(alert.share_of_disclosed),
        "value_usd": plain(alert.value_usd),
        "opened_at": time_text(alert.opened_at),
        "updated_at": time_text(alert.updated_at),
        "closed_at": time_text(alert.closed_at),
        "retracted": alert.status == "retracted",
        "historical": alert.historical,
        "detected_late": alert.detected_late,
        "ground": _ground(grounds),
        "evidence": alert.evidence,
        "revisions": [
            {
                "revision": row.revision,
                "at": time_text(row.at),
                "transition": row.transition,
                "state": row.state,
                "severity": row.severity,
                "intent": row.intent,
                "probability": plain(row.probability),
                "quantity": None if row.amount is None else quantity_text(row.amount, alert.asset),
                "why": row.why,
            }
            for row in revisions
        ],
        "acknowledged": alert.acknowledged_at is not None,
        "muted_until": time_text(alert.muted_until),
        "deliveries": list(deliveries),
    }
