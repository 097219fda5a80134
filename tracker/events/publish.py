"""Publish: give events their number and fan them out to the endpoints that asked for them.

A sequence number of the table is taken when a row is written, and rows commit out of that order:
a reader that remembers the highest one it saw would skip a late commit. So the cursor is given
here instead, by one publisher at a time, to rows that are already committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from tracker.db.webhooks import Endpoint
from tracker.domain.alert import Severity
from tracker.domain.entity import Tier
from tracker.domain.subscription import Subscription, matches
from tracker.events import repository
from tracker.events.repository import Numbered, Owed


def publish_pending(session: Session, *, now: datetime, limit: int = 500) -> int:
    """Publish up to `limit` events in the order of writing; returns how many.

    0 also when another process is publishing: what it leaves is taken at the next call. Needs a
    READ COMMITTED transaction (the unit of work's default), since the lock must be taken before
    the rows are looked at.
    """
    if not repository.lock_publisher(session):
        return 0
    events = repository.number_pending(session, now, limit)
    if events:
        _fan_out(session, events, repository.lock_enabled_endpoints(session), now)
    return len(events)


def subscription_of(endpoint: Endpoint) -> Subscription:
    """The filters of an endpoint's row."""
    return Subscription(
        types=tuple(endpoint.types),
        entities=tuple(endpoint.entities),
        cohorts=tuple(endpoint.cohorts),
        assets=tuple(endpoint.assets),
        min_severity=Severity(endpoint.min_severity),
        min_tier=None if endpoint.min_tier is None else Tier(endpoint.min_tier),
    )


def _fan_out(
    session: Session, events: Sequence[Numbered], endpoints: Sequence[Endpoint], now: datetime
) -> None:
    owed: list[Owed] = []
    numbers: list[tuple[str, int]] = []
    for endpoint in endpoints:
        subscription = subscription_of(endpoint)
        wanted = [event for event in events if matches(subscription, event.subject)]
        owed += [
            Owed(endpoint.id, event.id, endpoint.next_sequence + place)
            for place, event in enumerate(wanted)
        ]
        if wanted:
            numbers.append((endpoint.id, endpoint.next_sequence + len(wanted)))
    repository.insert_deliveries(session, owed, now)
    repository.set_next_sequences(session, numbers)
