"""Endpoints, replay and tests by hand, on a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session, select

from tracker.config import Settings
from tracker.db import Database
from tracker.db.events import Event
from tracker.db.registry import Entity
from tracker.db.webhooks import Delivery, EndpointSecret
from tracker.domain.alert import EVENT_TYPES
from tracker.errors import ConflictError, InputError, NotFoundError
from tracker.events import feed, outbox, publish
from tracker.webhooks import endpoints, replay, repository
from tracker.webhooks.endpoints import NewEndpoint

NOW = datetime(2026, 10, 4, 12, 0, 0, tzinfo=UTC)
BASE = "http://127.0.0.1:8321"
URL = "https://example.org/hook"


@pytest.fixture
def session(postgres_url: str) -> Iterator[Session]:
    database = Database(postgres_url)
    with database.transaction() as session:
        yield session
    database.dispose()


def add(session: Session, **changes: object) -> str:
    new = NewEndpoint(**{"url": URL, **changes})  # type: ignore[arg-type]
    return endpoints.add(session, new, settings=Settings(), now=NOW)[0].id


def happen(session: Session, *names: str, at: datetime = NOW, severity: str = "warning") -> None:
    for name in names:
        outbox.add(
            session,
            id=name,
            type="sell_off.opened",
            timestamp=at,
            data={"event_id": name},
            alert_id=None,
            entity_slug=None,
            asset="BTC",
            severity=severity,
            tier=None,
            created_at=at,
        )
    publish.publish_pending(session, now=at)


def owed(session: Session, endpoint_id: str) -> list[tuple[int, str, str, str]]:
    rows = session.exec(
        select(Delivery).where(Delivery.endpoint_id == endpoint_id).order_by(Delivery.sequence)  # type: ignore[arg-type]
    )
    return [(row.sequence, row.event_id, row.origin, row.state) for row in rows]


def finish(session: Session, state: str) -> None:
    for row in session.exec(select(Delivery)):
        row.state = state
        session.add(row)
    session.flush()


def test_an_endpoint_with_every_filter(session: Session) -> None:
    session.add(Entity(slug="mara", name="MARA", kind="dat", role="holder", recorded_at=NOW))
    endpoint, secret = endpoints.add(
        session,
        NewEndpoint(
            url="http://127.0.0.1:9000/x",
            description="my desk",
            types=("sell_off.*", "sell_off.*"),
            entities=("mara",),
            cohorts=("all_dats",),
            assets=("BTC",),
            min_severity="critical",
            min_tier="filing",
            allow_hosts=("127.0.0.1:9000",),
        ),
        settings=Settings(),
        now=NOW,
    )
    assert secret.startswith("whsec_")
    assert endpoints.get(session, endpoint.id) is endpoint
    assert [row.id for row in endpoints.list_all(session)] == [endpoint.id]
    assert endpoint.types == ["sell_off.*"]
    assert endpoint.allow_hosts == ["127.0.0.1:9000"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "http://example.org/"),
        ("url", "https://127.0.0.1/"),
        ("types", ("sell_of.*",)),
        ("entities", ("nobody",)),
        ("cohorts", ("everybody",)),
        ("assets", ("DOGE",)),
        ("min_severity", "loud"),
        ("min_tier", "rumour"),
        ("allow_hosts", ("http://a",)),
        ("description", "x" * 501),
        ("description", "a\x00b"),
        ("types", ("*",) * 501),
    ],
)
def test_a_bad_endpoint_is_refused_by_its_field(
    session: Session, field: str, value: object
) -> None:
    with pytest.raises(InputError) as refused:
        add(session, **{field: value})
    assert refused.value.field in (field, field.removesuffix("s"))
    assert refused.value.mend
    assert list(endpoints.list_all(session)) == []


def test_a_removed_endpoint_is_gone_and_its_secrets_too(session: Session) -> None:
    endpoint_id = add(session)
    endpoints.remove(session, endpoint_id, now=NOW)
    session.flush()
    assert list(endpoints.list_all(session)) == []
    assert list(session.exec(select(EndpointSecret))) == []
    for act in (endpoints.get, endpoints.enable):
        with pytest.raises(NotFoundError):
            act(session, endpoint_id)


def test_a_dead_letter_is_replayed_with_its_id_and_the_next_number(session: Session) -> None:
    endpoint_id = add(session)
    happen(session, "evt_1", "evt_2")
    finish(session, "exhausted")
    (dead, event_type), *_ = repository.list_deliveries(session, endpoint_id, state="exhausted")
    assert (dead.event_id, event_type, dead.id is not None) == ("evt_2", "sell_off.opened", True)
    assert replay.replay_delivery(session, endpoint_id, dead.id or 0, now=NOW).event_ids == (
        "evt_2",
    )
    happen(session, "evt_3")
    assert owed(session, endpoint_id) == [
        (1, "evt_1", "event", "exhausted"),
        (2, "evt_2", "event", "exhausted"),
        (3, "evt_2", "replay", "pending"),
        (4, "evt_3", "event", "pending"),
    ]


def test_a_pending_delivery_is_hurried_not_doubled(session: Session) -> None:
    endpoint_id = add(session)
    happen(session, "evt_1")
    later = NOW + timedelta(hours=1)
    assert replay.replay_event(session, endpoint_id, "evt_1", now=later).event_ids == ("evt_1",)
    session.expire_all()
    (row,) = session.exec(select(Delivery))
    assert row.due_at == later


def test_a_range_brings_what_was_missed_while_disabled(session: Session) -> None:
    endpoint_id = add(session, min_severity="warning")
    happen(session, "evt_before")
    finish(session, "succeeded")
    endpoint = endpoints.get(session, endpoint_id)
    endpoint.state, endpoint.disabled_reason = "disabled", "the receiver answered 410 Gone"
    session.add(endpoint)
    happen(session, "evt_missed", "evt_missed_too", at=NOW + timedelta(hours=1))
    happen(session, "evt_quiet", at=NOW + timedelta(hours=1), severity="info")
    now = NOW + timedelta(hours=2)
    since = NOW + timedelta(minutes=1)
    with pytest.raises(ConflictError, match="410"):
        replay.replay_range(session, endpoint_id, since=since, until=None, now=now)
    endpoints.enable(session, endpoint_id)
    queued = replay.replay_range(session, endpoint_id, since=since, until=None, now=now)
    assert queued.event_ids == ("evt_missed", "evt_missed_too")
    assert owed(session, endpoint_id) == [
        (1, "evt_before", "event", "succeeded"),
        (2, "evt_missed", "replay", "pending"),
        (3, "evt_missed_too", "replay", "pending"),
    ]


def test_a_range_without_a_match_queues_nothing(session: Session) -> None:
    endpoint_id = add(session, types=("sell_off.retracted",))
    happen(session, "evt_1")
    queued = replay.replay_range(
        session, endpoint_id, since=NOW, until=None, now=NOW + timedelta(1)
    )
    assert queued.event_ids == ()
    assert owed(session, endpoint_id) == []


def test_what_cannot_be_replayed_is_refused(session: Session) -> None:
    endpoint_id, other = add(session), add(session)
    happen(session, "evt_1")
    (test_id,) = replay.send_test(session, other, "test.ping", base_url=BASE, now=NOW).event_ids
    with pytest.raises(NotFoundError):
        replay.replay_event(session, endpoint_id, "evt_none", now=NOW)
    with pytest.raises(NotFoundError):
        replay.replay_event(session, endpoint_id, test_id, now=NOW)
    with pytest.raises(NotFoundError):
        replay.replay_delivery(session, endpoint_id, 10**9, now=NOW)
    with pytest.raises(NotFoundError):
        replay.replay_event(session, "ep_none", "evt_1", now=NOW)
    with pytest.raises(InputError, match="empty range"):
        replay.replay_range(session, endpoint_id, since=NOW, until=NOW, now=NOW)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_test_reaches_one_endpoint_and_nothing_else(session: Session, event_type: str) -> None:
    endpoint_id, other = add(session, types=("sell_off.closed",)), add(session)
    queued = replay.send_test(session, endpoint_id, event_type, base_url=BASE, now=NOW)
    assert publish.publish_pending(session, now=NOW) == 0
    assert feed.after(session, 0) == []
    assert owed(session, endpoint_id) == [(1, queued.event_ids[0], "test", "pending")]
    assert owed(session, other) == []
    (event,) = session.exec(select(Event))
    body = json.loads(bytes(event.body))
    assert (body["type"], body["data"]["test"]) == (event_type, True)
    assert body["data"]["event_id"] == event.id


def test_a_test_of_an_unknown_type_or_to_a_disabled_endpoint(session: Session) -> None:
    endpoint_id = add(session)
    with pytest.raises(InputError, match="unknown event type"):
        replay.send_test(session, endpoint_id, "sell_off.exploded", base_url=BASE, now=NOW)
    endpoint = endpoints.get(session, endpoint_id)
    endpoint.state = "disabled"
    session.add(endpoint)
    with pytest.raises(ConflictError):
        replay.send_test(session, endpoint_id, "test.ping", base_url=BASE, now=NOW)
