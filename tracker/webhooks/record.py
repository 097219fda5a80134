"""Record attempts: the delivery's next state, the log, and what they say of the endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from tracker.domain.schedule import DISABLE_AFTER
from tracker.webhooks import repository
from tracker.webhooks.endpoints import DISABLED, ENABLED
from tracker.webhooks.outcome import PENDING, SUCCEEDED, outcome
from tracker.webhooks.sender import Reply


@dataclass(frozen=True, slots=True)
class Attempted:
    """One POST with its reply, and the lease under which it was made."""

    delivery_id: int
    endpoint_id: str
    was_failing: bool
    number: int
    leased_until: datetime
    at: datetime
    reply: Reply


def record(session: Session, attempted: Sequence[Attempted], *, now: datetime) -> dict[str, str]:
    """Write the outcomes; returns the endpoints that this disabled, with the reason.

    A delivery whose lease another process has taken over meanwhile keeps that process's state;
    the attempt is logged all the same.
    """
    outcomes = [outcome(item.delivery_id, item.number, item.reply, now) for item in attempted]
    good = {
        item.endpoint_id
        for item, result in zip(attempted, outcomes, strict=True)
        if result.state == SUCCEEDED
    }
    gone = {
        item.endpoint_id for item, result in zip(attempted, outcomes, strict=True) if result.gone
    }
    bad = {item.endpoint_id for item in attempted} - good
    # Endpoints are locked before deliveries, as a replay does, so that neither waits in a ring.
    recovered = {item.endpoint_id for item in attempted if item.was_failing} & good
    disabled = _mark_endpoints(session, recovered, bad, gone, now)
    repository.finish_deliveries(
        session,
        [
            {
                "id": item.delivery_id,
                "leased_until": item.leased_until,
                "state": result.state,
                "due_at": result.due_at,
                "last_status": item.reply.status,
                "last_error": item.reply.error,
                "finished_at": None if result.state == PENDING else now,
            }
            for item, result in sorted(
                zip(attempted, outcomes, strict=True), key=lambda pair: pair[0].delivery_id
            )
        ],
    )
    repository.insert_attempts(
        session,
        [
            {
                "delivery_id": item.delivery_id,
                "number": item.number,
                "at": item.at,
                "duration_ms": item.reply.duration_ms,
                "status": item.reply.status,
                "error": item.reply.error,
                "response": item.reply.response,
            }
            for item in attempted
        ],
    )
    return disabled


def _mark_endpoints(
    session: Session, recovered: set[str], bad: set[str], gone: set[str], now: datetime
) -> dict[str, str]:
    """Note since when each endpoint fails; disable those gone, or failing for five days."""
    concerned = recovered | bad | gone
    if not concerned:
        return {}
    disabled: dict[str, str] = {}
    for endpoint in repository.lock_endpoints(session, concerned).values():
        if endpoint.id in recovered:
            endpoint.failing_since = None
        elif endpoint.id in bad and endpoint.failing_since is None:
            endpoint.failing_since = now
        since = endpoint.failing_since
        reason = None
        if endpoint.id in gone:
            reason = "the receiver answered 410 Gone"
        elif since is not None and now - since >= DISABLE_AFTER:
            reason = f"every delivery has failed since {since:%Y-%m-%d %H:%M} UTC"
        if reason is not None and endpoint.state == ENABLED:
            endpoint.state = DISABLED
            endpoint.disabled_reason = reason
            disabled[endpoint.id] = reason
        session.add(endpoint)
    session.flush()
    return disabled
