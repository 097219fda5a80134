"""`/v1/webhooks`: receivers of signed events, their deliveries, replay and rotation."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from tracker.api.auth import READ, WRITE
from tracker.api.context import Context, Ctx
from tracker.api.paging import Cursor, Limit, Page, decode, encode
from tracker.api.schemas.webhooks import (
    AttemptItem,
    DeliveryItem,
    EndpointChange,
    EndpointItem,
    EndpointSecretShown,
    NewEndpoint,
    Queued,
    Replay,
    Test,
)
from tracker.db.webhooks import Attempt, Delivery, Endpoint
from tracker.doorbell import DELIVER
from tracker.errors import InputError
from tracker.webhooks import endpoints, replay, repository

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

State = Literal["pending", "succeeded", "exhausted", "skipped"]


@router.get("", dependencies=[READ])
def list_endpoints(context: Ctx) -> Page[EndpointItem]:
    """Every endpoint that was not removed."""
    with context.database.transaction(snapshot=True) as session:
        rows = endpoints.list_all(session)
        return Page(items=[EndpointItem.model_validate(row) for row in rows], next=None)


@router.post("", dependencies=[WRITE], status_code=201)
def add_endpoint(context: Ctx, body: NewEndpoint) -> EndpointSecretShown:
    """Subscribe a receiver. The signing secret is in this reply and never again."""
    wanted = endpoints.NewEndpoint(
        url=body.url,
        description=body.description,
        types=tuple(body.types),
        entities=tuple(body.entities),
        cohorts=tuple(body.cohorts),
        assets=tuple(body.assets),
        min_severity=body.min_severity,
        min_tier=body.min_tier,
        allow_hosts=tuple(body.allow_hosts),
    )
    with context.database.transaction() as session:
        made, secret = endpoints.add(session, wanted, settings=context.settings, now=context.now())
        return _with_secret(made, secret)


@router.get("/{endpoint}", dependencies=[READ])
def show_endpoint(context: Ctx, endpoint: str) -> EndpointItem:
    """One endpoint."""
    with context.database.transaction(snapshot=True) as session:
        return EndpointItem.model_validate(endpoints.get(session, endpoint))


@router.patch("/{endpoint}", dependencies=[WRITE])
def change_endpoint(context: Ctx, endpoint: str, body: EndpointChange) -> EndpointItem:
    """Take deliveries again after the endpoint was disabled."""
    if not body.enabled:
        raise InputError(
            "an endpoint is disabled by failing, not by hand",
            field="enabled",
            value=body.enabled,
            mend="remove it instead",
        )
    with context.database.transaction() as session:
        return EndpointItem.model_validate(endpoints.enable(session, endpoint))


@router.delete("/{endpoint}", dependencies=[WRITE], status_code=204)
def remove_endpoint(context: Ctx, endpoint: str) -> None:
    """Remove an endpoint; what it is still owed is skipped."""
    with context.database.transaction() as session:
        endpoints.remove(session, endpoint, now=context.now())


@router.get("/{endpoint}/deliveries", dependencies=[READ])
def list_deliveries(
    context: Ctx,
    endpoint: str,
    state: Annotated[State | None, Query(description="`exhausted` are the dead letters")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[DeliveryItem]:
    """Deliveries of an endpoint, newest first, each with its attempts."""
    with context.database.transaction(snapshot=True) as session:
        endpoints.get(session, endpoint)
        rows = repository.list_deliveries(
            session, endpoint, state=state, before_id=_before(cursor), limit=limit + 1
        )
        shown = rows[:limit]
        attempts = repository.attempts_of(session, [row.id or 0 for row, _ in shown])
    return Page(
        items=[_delivery(row, kind, attempts[row.id or 0]) for row, kind in shown],
        next=encode(shown[-1][0].id or 0) if len(rows) > limit else None,
    )


@router.post("/{endpoint}/replay", dependencies=[WRITE], status_code=202)
def replay_events(context: Ctx, endpoint: str, body: Replay) -> Queued:
    """Deliver again one event, one delivery, or all that was published in a time range."""
    now = context.now()
    given = [body.event_id, body.delivery_id, body.since]
    if sum(value is not None for value in given) != 1:
        raise InputError(
            "say what to replay",
            field="event_id, delivery_id or since",
            mend="send exactly one of them; `until` goes with `since`",
        )
    with context.database.transaction() as session:
        if body.event_id is not None:
            queued = replay.replay_event(session, endpoint, body.event_id, now=now)
        elif body.delivery_id is not None:
            queued = replay.replay_delivery(session, endpoint, body.delivery_id, now=now)
        elif body.since is not None:
            queued = replay.replay_range(
                session, endpoint, since=body.since, until=body.until, now=now
            )
    return _queued(context, queued)


@router.post("/{endpoint}/test", dependencies=[WRITE], status_code=202)
def send_test(context: Ctx, endpoint: str, body: Test) -> Queued:
    """Send a realistic sample of any event type to this endpoint alone."""
    settings = context.settings
    with context.database.transaction() as session:
        queued = replay.send_test(
            session,
            endpoint,
            body.type,
            base_url=f"http://{settings.host}:{settings.port}",
            now=context.now(),
        )
    return _queued(context, queued)


@router.post("/{endpoint}/rotate", dependencies=[WRITE])
def rotate_secret(context: Ctx, endpoint: str) -> EndpointSecretShown:
    """Make a new signing secret; the old one signs beside it for 24 hours."""
    with context.database.transaction() as session:
        changed, secret = endpoints.rotate(session, endpoint, now=context.now())
        return _with_secret(changed, secret)


def _queued(context: Context, queued: replay.Queued) -> Queued:
    context.services.doorbell.ring(DELIVER)
    return Queued(queued=len(queued.event_ids), event_ids=list(queued.event_ids[:100]))


def _with_secret(endpoint: Endpoint, secret: str) -> EndpointSecretShown:
    item = EndpointItem.model_validate(endpoint)
    return EndpointSecretShown(**item.model_dump(), secret=secret)


def _before(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    (last,) = decode(cursor, 1)
    if not last.isascii() or not last.isdigit():
        raise InputError("not a cursor of this list", field="cursor", value=cursor)
    return int(last)


def _delivery(row: Delivery, kind: str, attempts: list[Attempt]) -> DeliveryItem:
    return DeliveryItem(
        id=row.id or 0,
        event_id=row.event_id,
        type=kind,
        sequence=row.sequence,
        state=row.state,
        origin=row.origin,
        due_at=row.due_at,
        attempts=row.attempts,
        last_status=row.last_status,
        last_error=row.last_error,
        created_at=row.created_at,
        finished_at=row.finished_at,
        log=[AttemptItem.model_validate(attempt) for attempt in attempts],
    )
