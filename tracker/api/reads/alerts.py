"""Alerts with their revisions, ground and deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracker.api.schemas.alerts import AlertItem
from tracker.api.schemas.common import iso
from tracker.db.alerts import Alert
from tracker.db.session import Session
from tracker.db.webhooks import Delivery
from tracker.detection import repository as detection
from tracker.detection.body import alert_view
from tracker.errors import NotFoundError
from tracker.registry import repository as registry
from tracker.webhooks import repository as webhooks

NO_VALUE = "no price of the coin at that time is known"


def show_alerts(session: Session, alerts: Sequence[Alert]) -> list[AlertItem]:
    """The alerts in the order given, in a fixed number of queries."""
    ids = [alert.id for alert in alerts]
    if not ids:
        return []
    entities = registry.entities_by_id(session, {alert.entity_id for alert in alerts})
    revisions = detection.revisions_of(session, ids)
    grounds = detection.grounds_of(session, ids)
    deliveries = webhooks.deliveries_of_alerts(session, ids)
    return [
        AlertItem.model_validate(
            alert_view(
                alert,
                entities[alert.entity_id],
                revisions[alert.id],
                grounds[alert.id],
                deliveries=[_delivery(*row) for row in deliveries[alert.id]],
            )
            | {"value_reason": NO_VALUE if alert.value_usd is None else None}
        )
        for alert in alerts
    ]


def show_alert(session: Session, alert_id: str) -> AlertItem:
    """One alert. Raises `NotFoundError`."""
    return show_alerts(session, [find(session, alert_id)])[0]


def find(session: Session, alert_id: str) -> Alert:
    """The row of one alert. Raises `NotFoundError`."""
    alert = detection.find_alert(session, alert_id)
    if alert is None:
        raise NotFoundError(
            "no such alert", field="alert", value=alert_id, mend="list them: `tracker alerts`"
        )
    return alert


def _delivery(row: Delivery, event_type: str) -> dict[str, Any]:
    return {
        "endpoint": row.endpoint_id,
        "event_id": row.event_id,
        "type": event_type,
        "sequence": row.sequence,
        "state": row.state,
        "attempts": row.attempts,
        "last_status": row.last_status,
        "last_error": row.last_error,
        "finished_at": None if row.finished_at is None else iso(row.finished_at),
    }
