"""Deliveries by hand: replay what was published, send a sample of any type.

A replayed event keeps its id and its bytes, so that a receiver which has it already drops it; the
delivery is a new one and takes the endpoint's next sequence number, so that the sequence has no
gap and no number comes twice.
"""

from __future__ import annotations

import secrets as entropy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from tracker.db.webhooks import Endpoint
from tracker.domain.subscription import matches
from tracker.errors import InputError, NotFoundError
from tracker.events import repository as events
from tracker.events.body import event_body
from tracker.events.publish import subscription_of
from tracker.events.repository import Owed
from tracker.webhooks import endpoints, repository, samples

MOST_REPLAYED = 10_000

# Of no stream that is published: a sample gets no cursor and reaches one endpoint only.
_TEST_STREAM = "test"


@dataclass(frozen=True, slots=True)
class Queued:
    """What was queued: the ids of the events, in the order they will be due."""

    event_ids: tuple[str, ...]


def replay_event(session: Session, endpoint_id: str, event_id: str, *, now: datetime) -> Queued:
    """Deliver one event again, whatever the subscription says.

    A delivery of it that is still pending is made due now instead of doubled. Raises
    `NotFoundError` for an event that was not published, `ConflictError` for a disabled endpoint.
    """
    endpoint = _enabled(session, endpoint_id)
    if not repository.may_replay(session, endpoint_id, event_id):
        raise NotFoundError(
            "no such published event", field="event_id", value=event_id, mend="see /v1/events"
        )
    return _queue(session, endpoint, [event_id], now)


def replay_delivery(
    session: Session, endpoint_id: str, delivery_id: int, *, now: datetime
) -> Queued:
    """Deliver again what a delivery (a dead letter, say) was to bring; as `replay_event`."""
    event_id = repository.event_of(session, endpoint_id, delivery_id)
    if event_id is None:
        raise NotFoundError(
            "no such delivery",
            field="delivery_id",
            value=delivery_id,
            mend="see the endpoint's deliveries",
        )
    return replay_event(session, endpoint_id, event_id, now=now)


def replay_range(
    session: Session, endpoint_id: str, *, since: datetime, until: datetime | None, now: datetime
) -> Queued:
    """Deliver again all that was published in `[since, until)` and the subscription asks for.

    `until` None means now. That includes what was published while the endpoint was disabled.
    Raises `InputError` for an empty range, or one of more than 10 000 events.
    """
    endpoint = _enabled(session, endpoint_id)
    end = now if until is None else until
    if since >= end:
        raise InputError(
            "an empty range", field="since", value=since.isoformat(), mend="give since < until"
        )
    found = events.subjects_between(session, since, end, MOST_REPLAYED + 1)
    if len(found) > MOST_REPLAYED:
        raise InputError(
            f"more than {MOST_REPLAYED} events",
            field="until",
            value=end.isoformat(),
            mend="replay a shorter range at a time, or read /v1/events",
        )
    subscription = subscription_of(endpoint)
    wanted = [event.id for event in found if matches(subscription, event.subject)]
    return _queue(session, endpoint, wanted, now)


def send_test(
    session: Session, endpoint_id: str, event_type: str, *, base_url: str, now: datetime
) -> Queued:
    """Queue a sample of `event_type` for this endpoint alone, whatever its subscription says.

    Its data says `"test": true`. Raises `InputError` for an unknown type, `ConflictError` for a
    disabled endpoint.
    """
    endpoint = _enabled(session, endpoint_id)
    sample = samples.sample(event_type, series=entropy.token_hex(8), base_url=base_url, now=now)
    events.insert_event(
        session,
        {
            "id": sample.id,
            "type": event_type,
            "entity_slug": None,
            "asset": None,
            "severity": sample.severity,
            "stream": _TEST_STREAM,
            "body": event_body(event_type, now, sample.data),
            "created_at": now,
        },
    )
    return _insert(session, endpoint, [sample.id], now, origin="test")


def _enabled(session: Session, endpoint_id: str) -> Endpoint:
    endpoint = endpoints.get(session, endpoint_id, lock=True)
    endpoints.require_enabled(endpoint)
    return endpoint


def _queue(session: Session, endpoint: Endpoint, event_ids: Sequence[str], now: datetime) -> Queued:
    pending = repository.hurry(session, endpoint.id, event_ids, now) if event_ids else set()
    fresh = [event_id for event_id in event_ids if event_id not in pending]
    _insert(session, endpoint, fresh, now, origin="replay")
    return Queued(tuple(event_ids))


def _insert(
    session: Session, endpoint: Endpoint, event_ids: Sequence[str], now: datetime, *, origin: str
) -> Queued:
    first = endpoint.next_sequence
    owed = [Owed(endpoint.id, event_id, first + place) for place, event_id in enumerate(event_ids)]
    events.insert_deliveries(session, owed, now, origin=origin)
    events.set_next_sequences(session, [(endpoint.id, first + len(owed))])
    return Queued(tuple(event_ids))
