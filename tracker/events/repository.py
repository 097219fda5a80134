"""The SQL of events: insert once, number at publish, fan out, read by cursor."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlmodel import Session, col

from tracker.db.events import Event
from tracker.db.registry import Entity
from tracker.db.webhooks import Delivery, Endpoint
from tracker.domain.alert import Severity
from tracker.domain.entity import Kind, Tier
from tracker.domain.subscription import STREAMS, Subject

# Any constant serves: every publisher of one database asks for the same lock.
_PUBLISH_LOCK = 0x7472_6B70_7562


@dataclass(frozen=True, slots=True)
class Numbered:
    """An event that has just got its cursor."""

    cursor: int
    id: str
    subject: Subject


@dataclass(frozen=True, slots=True)
class Owed:
    """One delivery to be: which event, to whom, with which number."""

    endpoint_id: str
    event_id: str
    sequence: int


def insert_event(session: Session, values: dict[str, Any]) -> bool:
    """Insert the row unless its id exists; True when it was inserted."""
    statement = (
        postgresql.insert(Event).values(**values).on_conflict_do_nothing(index_elements=["id"])
    )
    return session.execute(statement.returning(col(Event.seq))).first() is not None


def lock_publisher(session: Session) -> bool:
    """True when this transaction is now the only publisher, until it ends."""
    return bool(
        session.execute(
            text("select pg_try_advisory_xact_lock(:key)"), {"key": _PUBLISH_LOCK}
        ).scalar_one()
    )


def number_pending(session: Session, now: datetime, limit: int) -> list[Numbered]:
    """Give the next cursors, without a gap, to up to `limit` events in the order of writing.

    Call it with the publisher's lock held. Events of other streams than the published ones (test
    events) never get a cursor.
    """
    rows = session.execute(
        text(
            """
            with pending as (
                select seq, row_number() over (order by seq) as place
                from (
                    select seq from event
                    where cursor is null and stream = any(:streams)
                    order by seq limit :limit
                ) as oldest
            )
            update event
            set cursor = pending.place + (select coalesce(max(cursor), 0) from event),
                published_at = :now
            from pending where event.seq = pending.seq
            returning event.cursor, event.id, event.type, event.stream, event.severity,
                event.tier, event.asset, event.entity_slug,
                (select kind from entity where entity.slug = event.entity_slug) as entity_kind
            """
        ),
        {"streams": list(STREAMS), "limit": limit, "now": now},
    ).all()
    return [
        Numbered(row.cursor, row.id, _subject(row, row.entity_kind))
        for row in sorted(rows, key=lambda row: int(row.cursor))
    ]


def subjects_between(
    session: Session, since: datetime, until: datetime, limit: int
) -> list[Numbered]:
    """Events published in `[since, until)`, in the order of their cursors."""
    rows = session.execute(
        select(Event, col(Entity.kind))
        .join(Entity, col(Entity.slug) == col(Event.entity_slug), isouter=True)
        .where(
            col(Event.cursor).is_not(None),
            col(Event.published_at) >= since,
            col(Event.published_at) < until,
        )
        .order_by(col(Event.cursor))
        .limit(limit)
    ).all()
    return [Numbered(event.cursor, event.id, _subject(event, kind)) for event, kind in rows]


def lock_enabled_endpoints(session: Session) -> Sequence[Endpoint]:
    """Endpoints that take deliveries now, their sequence locked until the transaction ends.

    Locked in the order of their ids, as everywhere, so that two lockers cannot wait in a ring.
    """
    return session.scalars(
        select(Endpoint)
        .where(col(Endpoint.state) == "enabled", col(Endpoint.deleted_at).is_(None))
        .order_by(col(Endpoint.id))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()


def insert_deliveries(
    session: Session, owed: Sequence[Owed], now: datetime, *, origin: str = "event"
) -> None:
    """Insert one pending delivery each, due at once."""
    if owed:
        session.execute(
            insert(Delivery),
            [
                {
                    "endpoint_id": item.endpoint_id,
                    "event_id": item.event_id,
                    "sequence": item.sequence,
                    "state": "pending",
                    "origin": origin,
                    "due_at": now,
                    "attempts": 0,
                    "created_at": now,
                }
                for item in owed
            ],
        )


def set_next_sequences(session: Session, numbers: Iterable[tuple[str, int]]) -> None:
    """Store the next free sequence of each (locked) endpoint."""
    for endpoint_id, number in numbers:
        session.execute(
            update(Endpoint).where(col(Endpoint.id) == endpoint_id).values(next_sequence=number)
        )


def after(session: Session, cursor: int, limit: int, streams: Collection[str]) -> Sequence[Event]:
    """Published events behind `cursor`, in order."""
    return session.scalars(
        select(Event)
        .where(col(Event.cursor) > cursor, col(Event.stream).in_(streams))
        .order_by(col(Event.cursor))
        .limit(limit)
    ).all()


def latest_cursor(session: Session) -> int:
    """The highest cursor given so far; 0 before the first event."""
    return int(session.execute(text("select coalesce(max(cursor), 0) from event")).scalar_one())


def _subject(event: Any, kind: str | None) -> Subject:
    """What subscriptions look at, of an event's row."""
    return Subject(
        type=event.type,
        stream=event.stream,
        severity=Severity(event.severity),
        entity_slug=event.entity_slug,
        entity_kind=None if kind is None else Kind(kind),
        asset=event.asset,
        tier=None if event.tier is None else Tier(event.tier),
    )
