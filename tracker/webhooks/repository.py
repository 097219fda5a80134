"""The SQL of webhooks: endpoints and secrets, deliveries claimed by lease, attempts recorded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, text, update
from sqlmodel import Session, col

from tracker.db.events import Event
from tracker.db.registry import Entity
from tracker.db.webhooks import Attempt, Delivery, Endpoint, EndpointSecret


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery leased to this process, with all that its POST needs."""

    delivery_id: int
    endpoint_id: str
    event_id: str
    sequence: int
    number: int
    leased_until: datetime
    body: bytes
    url: str
    allow_hosts: tuple[str, ...]
    secrets: tuple[str, ...]
    failing: bool


# -- endpoints and their secrets -------------------------------------------------------------------


def find_endpoint(session: Session, endpoint_id: str, *, lock: bool = False) -> Endpoint | None:
    """The endpoint unless it was removed; `lock` holds its sequence until the transaction ends."""
    statement = select(Endpoint).where(
        col(Endpoint.id) == endpoint_id, col(Endpoint.deleted_at).is_(None)
    )
    if lock:
        statement = statement.with_for_update(key_share=True)
    return session.scalars(statement.execution_options(populate_existing=True)).first()


def list_endpoints(session: Session) -> Sequence[Endpoint]:
    """Every endpoint that was not removed, oldest first."""
    return session.scalars(
        select(Endpoint)
        .where(col(Endpoint.deleted_at).is_(None))
        .order_by(col(Endpoint.created_at), col(Endpoint.id))
    ).all()


def unknown_slugs(session: Session, slugs: Collection[str]) -> list[str]:
    """Those of `slugs` that no entity has, in their order."""
    known = set(session.scalars(select(col(Entity.slug)).where(col(Entity.slug).in_(slugs))))
    return [slug for slug in slugs if slug not in known]


def add_secret(session: Session, endpoint_id: str, secret: str, now: datetime) -> None:
    """Store a secret that does not expire."""
    session.add(EndpointSecret(endpoint_id=endpoint_id, secret=secret, created_at=now))
    session.flush()


def expire_secrets(session: Session, endpoint_id: str, until: datetime) -> None:
    """The current secret expires at `until`; one that was expiring already is dropped now."""
    session.execute(
        delete(EndpointSecret).where(
            col(EndpointSecret.endpoint_id) == endpoint_id,
            col(EndpointSecret.expires_at).is_not(None),
        )
    )
    session.execute(
        update(EndpointSecret)
        .where(col(EndpointSecret.endpoint_id) == endpoint_id)
        .values(expires_at=until)
    )


def delete_secrets(session: Session, endpoint_id: str) -> None:
    """Forget every secret of an endpoint."""
    session.execute(delete(EndpointSecret).where(col(EndpointSecret.endpoint_id) == endpoint_id))


def valid_secrets(
    session: Session, endpoint_ids: Collection[str], now: datetime
) -> dict[str, tuple[str, ...]]:
    """The secrets to sign with at `now`, newest first, by endpoint."""
    rows = session.scalars(
        select(EndpointSecret)
        .where(
            col(EndpointSecret.endpoint_id).in_(endpoint_ids),
            or_(col(EndpointSecret.expires_at).is_(None), col(EndpointSecret.expires_at) > now),
        )
        .order_by(col(EndpointSecret.id).desc())
    )
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        found[row.endpoint_id] = (*found.get(row.endpoint_id, ()), row.secret)
    return found


# -- claiming --------------------------------------------------------------------------------------

_DUE = """
    delivery.state = 'pending' and delivery.due_at <= :now
    and (delivery.leased_until is null or delivery.leased_until <= :now)
    and delivery.attempts < :max_attempts
"""


def endpoints_with_due(session: Session, now: datetime, max_attempts: int) -> list[str]:
    """Enabled endpoints that something is owed to now, with an attempt left."""
    return list(
        session.scalars(
            text(
                f"""
                select endpoint.id from endpoint
                where endpoint.state = 'enabled' and endpoint.deleted_at is null
                  and exists (
                    select 1 from delivery
                    where delivery.endpoint_id = endpoint.id and {_DUE}
                  )
                """  # noqa: S608 - a constant of this module
            ),
            {"now": now, "max_attempts": max_attempts},
        )
    )


def claim(
    session: Session,
    dealt: Mapping[str, int],
    now: datetime,
    leased_until: datetime,
    max_attempts: int,
) -> list[Claimed]:
    """Lease up to `dealt[endpoint]` due deliveries of each endpoint, the longest due first.

    Rows that another process is claiming are passed over, not waited for. The attempt is counted
    here, before the POST, so that dying in the middle cannot make more attempts than scheduled;
    what died in its last one is left for `settle_abandoned`.
    """
    rows = session.execute(
        text(
            f"""
            with chosen as materialized (
                select picked.id
                from unnest(cast(:endpoints as text[]), cast(:rooms as int[]))
                    as dealt(endpoint_id, room)
                cross join lateral (
                    select delivery.id from delivery
                    where delivery.endpoint_id = dealt.endpoint_id and {_DUE}
                    order by delivery.due_at, delivery.sequence
                    limit dealt.room
                    for update skip locked
                ) as picked
            )
            update delivery
            set leased_until = :leased_until, attempts = delivery.attempts + 1
            from chosen, event, endpoint
            where delivery.id = chosen.id and event.id = delivery.event_id
              and endpoint.id = delivery.endpoint_id
            returning delivery.id, delivery.endpoint_id, delivery.event_id, delivery.sequence,
                delivery.attempts, event.body, endpoint.url, endpoint.allow_hosts,
                endpoint.failing_since is not null as failing
            """  # noqa: S608 - a constant of this module
        ),
        {
            "endpoints": list(dealt.keys()),
            "rooms": list(dealt.values()),
            "now": now,
            "leased_until": leased_until,
            "max_attempts": max_attempts,
        },
    ).all()
    secrets = valid_secrets(session, {row.endpoint_id for row in rows}, now)
    return [
        Claimed(
            delivery_id=row.id,
            endpoint_id=row.endpoint_id,
            event_id=row.event_id,
            sequence=row.sequence,
            number=row.attempts,
            leased_until=leased_until,
            body=bytes(row.body),
            url=row.url,
            allow_hosts=tuple(row.allow_hosts),
            secrets=secrets.get(row.endpoint_id, ()),
            failing=row.failing,
        )
        for row in sorted(rows, key=lambda row: (row.endpoint_id, int(row.sequence)))
    ]


def settle_abandoned(session: Session, now: datetime, max_attempts: int) -> None:
    """End what nobody will try again.

    Skipped: what is owed to an endpoint that is disabled or removed. Exhausted: what was leased
    for its last attempt by a process that died before it recorded the outcome.
    """
    session.execute(
        text(
            """
            with chosen as materialized (
                select delivery.id,
                    endpoint.state <> 'enabled' or endpoint.deleted_at is not null as gone
                from delivery join endpoint on endpoint.id = delivery.endpoint_id
                where delivery.state = 'pending'
                  and (delivery.leased_until is null or delivery.leased_until <= :now)
                  and (endpoint.state <> 'enabled' or endpoint.deleted_at is not null
                       or delivery.attempts >= :max_attempts)
                for update of delivery skip locked
            )
            update delivery
            set state = case when chosen.gone then 'skipped' else 'exhausted' end,
                last_error = case when chosen.gone then 'the endpoint is disabled or removed'
                    else 'the process ended during the last attempt' end,
                leased_until = null, finished_at = :now
            from chosen
            where delivery.id = chosen.id
            """
        ),
        {"now": now, "max_attempts": max_attempts},
    )


# -- recording -------------------------------------------------------------------------------------


def lock_endpoints(session: Session, endpoint_ids: Collection[str]) -> dict[str, Endpoint]:
    """Endpoint rows, locked in the order of their ids until the transaction ends."""
    rows = session.scalars(
        select(Endpoint)
        .where(col(Endpoint.id).in_(endpoint_ids))
        .order_by(col(Endpoint.id))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return {row.id: row for row in rows}


def finish_deliveries(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the outcome of each delivery whose lease is still the one that was claimed."""
    session.connection().execute(
        text(
            """
            update delivery
            set state = :state, leased_until = null,
                due_at = coalesce(cast(:due_at as timestamptz), due_at),
                last_status = :last_status, last_error = :last_error, finished_at = :finished_at
            where id = :id and leased_until = :leased_until and state = 'pending'
            """
        ),
        list(rows),
    )


def insert_attempts(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append to the log of attempts."""
    session.execute(insert(Attempt), list(rows))


# -- reading and replaying -------------------------------------------------------------------------


def list_deliveries(
    session: Session,
    endpoint_id: str,
    *,
    state: str | None = None,
    before_id: int | None = None,
    limit: int = 100,
) -> list[tuple[Delivery, str]]:
    """Deliveries of an endpoint with their event types, newest first.

    Those in the state `exhausted` are the dead letters.
    """
    statement = (
        select(Delivery, col(Event.type))
        .join(Event, col(Event.id) == col(Delivery.event_id))
        .where(col(Delivery.endpoint_id) == endpoint_id)
    )
    if state is not None:
        statement = statement.where(col(Delivery.state) == state)
    if before_id is not None:
        statement = statement.where(col(Delivery.id) < before_id)
    rows = session.execute(statement.order_by(col(Delivery.id).desc()).limit(limit)).all()
    return [(row[0], row[1]) for row in rows]


def attempts_of(session: Session, delivery_ids: Collection[int]) -> dict[int, list[Attempt]]:
    """The attempts of each delivery, in order."""
    found: dict[int, list[Attempt]] = {number: [] for number in delivery_ids}
    for row in session.scalars(
        select(Attempt)
        .where(col(Attempt.delivery_id).in_(delivery_ids))
        .order_by(col(Attempt.delivery_id), col(Attempt.id))
    ):
        found[row.delivery_id].append(row)
    return found


def deliveries_of_alerts(
    session: Session, alert_ids: Collection[str]
) -> dict[str, list[tuple[Delivery, str]]]:
    """Deliveries, with their event types, of the events of each alert, oldest first."""
    found: dict[str, list[tuple[Delivery, str]]] = {alert_id: [] for alert_id in alert_ids}
    for delivery, event_type, alert_id in session.execute(
        select(Delivery, col(Event.type), col(Event.alert_id))
        .join(Event, col(Event.id) == col(Delivery.event_id))
        .where(col(Event.alert_id).in_(alert_ids))
        .order_by(col(Delivery.id))
    ):
        found[alert_id].append((delivery, event_type))
    return found


def event_of(session: Session, endpoint_id: str, delivery_id: int) -> str | None:
    """The event id of one of the endpoint's deliveries."""
    return session.scalars(
        select(col(Delivery.event_id)).where(
            col(Delivery.id) == delivery_id, col(Delivery.endpoint_id) == endpoint_id
        )
    ).first()


def may_replay(session: Session, endpoint_id: str, event_id: str) -> bool:
    """True for a published event, and for one that went to this endpoint before (a test)."""
    return bool(
        session.scalars(
            select(func.count())
            .select_from(Event)
            .where(
                col(Event.id) == event_id,
                or_(
                    col(Event.cursor).is_not(None),
                    select(Delivery)
                    .where(
                        col(Delivery.event_id) == event_id,
                        col(Delivery.endpoint_id) == endpoint_id,
                    )
                    .exists(),
                ),
            )
        ).one()
    )


def hurry(session: Session, endpoint_id: str, event_ids: Iterable[str], now: datetime) -> set[str]:
    """Make the endpoint's pending deliveries of these events due now; returns those events."""
    return set(
        session.scalars(
            update(Delivery)
            .where(
                col(Delivery.endpoint_id) == endpoint_id,
                col(Delivery.event_id).in_(event_ids),
                col(Delivery.state) == "pending",
            )
            .values(due_at=now)
            .returning(col(Delivery.event_id))
        )
    )
