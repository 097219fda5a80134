"""`/v1/alerts`: findings with their evidence, ground and revisions."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from tracker.api.auth import READ, WRITE
from tracker.api.context import Ctx
from tracker.api.paging import Cursor, Limit, Page, decode_moment, encode_moment
from tracker.api.reads.alerts import find, show_alert, show_alerts
from tracker.api.schemas.alerts import AlertItem, Mute
from tracker.detection import repository
from tracker.domain.alert import RULES, Severity
from tracker.errors import InputError
from tracker.registry import repository as registry

router = APIRouter(prefix="/v1/alerts", tags=["alerts"])

Status = Literal["open", "suspended", "closed", "retracted"]


@router.get("", dependencies=[READ])
def list_all(
    context: Ctx,
    entity: Annotated[str | None, Query(max_length=80)] = None,
    rule: Annotated[str | None, Query(max_length=80)] = None,
    min_severity: Severity | None = None,
    historical: bool | None = None,
    status: Status | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[AlertItem]:
    """Alerts, the newest opened first."""
    if rule is not None and rule not in RULES:
        raise InputError(
            "no such rule", field="rule", value=rule, mend=f"use {' or '.join(RULES)}"
        )
    with context.database.transaction(snapshot=True) as session:
        rows = repository.list_alerts(
            session,
            entity_id=None if entity is None else registry.get_entity(session, entity).id,
            rule=rule,
            min_severity=min_severity,
            historical=historical,
            status=status,
            before=decode_moment(cursor),
            limit=limit + 1,
        )
        shown = rows[:limit]
        items = show_alerts(session, shown)
    more = len(rows) > limit
    return Page(
        items=items, next=encode_moment(shown[-1].opened_at, shown[-1].id) if more else None
    )


@router.get("/{alert_id}", dependencies=[READ])
def show(context: Ctx, alert_id: str) -> AlertItem:
    """One alert."""
    with context.database.transaction(snapshot=True) as session:
        return show_alert(session, alert_id)


@router.post("/{alert_id}/acknowledge", dependencies=[WRITE])
def acknowledge(context: Ctx, alert_id: str) -> AlertItem:
    """Note that somebody has seen it."""
    with context.database.transaction() as session:
        alert = find(session, alert_id)
        repository.acknowledge(session, alert.id, context.now())
        return show_alert(session, alert_id)


@router.post("/{alert_id}/mute", dependencies=[WRITE])
def mute(context: Ctx, alert_id: str, body: Mute) -> AlertItem:
    """Keep its further revisions from being delivered until a time."""
    if body.until is not None and body.until <= context.now():
        raise InputError(
            "a time gone by", field="until", value=body.until, mend="give a time to come, or null"
        )
    with context.database.transaction() as session:
        alert = find(session, alert_id)
        repository.mute(session, alert.id, body.until)
        return show_alert(session, alert_id)
