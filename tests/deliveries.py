"""What delivery tests share: a clock, events that happen, and what became of them."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlmodel import select

from tests.receiver import Receiver
from tracker.config import Settings
from tracker.db import Database
from tracker.db.webhooks import Attempt, Delivery, Endpoint
from tracker.events import outbox, publish
from tracker.webhooks import endpoints
from tracker.webhooks.endpoints import NewEndpoint

START = datetime(2026, 10, 4, 12, 0, 0, tzinfo=UTC)


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time


def settings(**changes: object) -> Settings:
    values: dict[str, object] = {"webhook_timeout_seconds": 5.0, "webhook_concurrency": 16}
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


def register(database: Database, receiver: Receiver, clock: Clock) -> tuple[str, str]:
    with database.transaction() as session:
        endpoint, secret = endpoints.add(
            session,
            NewEndpoint(url=receiver.url, allow_hosts=(receiver.host,)),
            settings=settings(),
            now=clock(),
        )
        return endpoint.id, secret


def happen(database: Database, clock: Clock, *names: str) -> None:
    with database.transaction() as session:
        for name in names:
            outbox.add(
                session,
                id=name,
                type="sell_off.opened",
                timestamp=clock(),
                data={"event_id": name, "says": "Zürich"},
                alert_id=None,
                entity_slug=None,
                asset="BTC",
                severity="warning",
                tier=None,
                created_at=clock(),
            )
    with database.transaction() as session:
        assert publish.publish_pending(session, now=clock()) == len(names)


def deliveries(database: Database) -> list[Delivery]:
    with database.transaction() as session:
        return list(session.exec(select(Delivery).order_by(Delivery.id)))  # type: ignore[arg-type]


def attempts(database: Database) -> list[Attempt]:
    with database.transaction() as session:
        return list(session.exec(select(Attempt).order_by(Attempt.id)))  # type: ignore[arg-type]


def endpoint_row(database: Database, endpoint_id: str) -> Endpoint:
    with database.transaction() as session:
        return session.exec(select(Endpoint).where(Endpoint.id == endpoint_id)).one()
