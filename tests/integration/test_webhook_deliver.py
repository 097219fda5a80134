"""Delivery end to end on a real PostgreSQL and real receivers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlmodel import select

from tests.deliveries import (
    START,
    Clock,
    attempts,
    deliveries,
    endpoint_row,
    happen,
    register,
    settings,
)
from tests.receiver import Received, answer, receiving
from tracker import signing
from tracker.db import Database
from tracker.db.webhooks import Delivery
from tracker.domain.schedule import DELAYS, JITTER, MAX_ATTEMPTS
from tracker.webhooks import endpoints
from tracker.webhooks.deliver import deliver_due


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url, pool_size=8)
    yield database
    database.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_signed_event_arrives_once(database: Database, clock: Clock) -> None:
    with receiving(answer(204)) as receiver:
        _, secret = register(database, receiver, clock)
        happen(database, clock, "evt_1", "evt_2")
        assert deliver_due(database, settings(), now=clock) == 2
        assert deliver_due(database, settings(), now=clock) == 0
    by_id = {request.headers["webhook-id"]: request for request in receiver.requests}
    assert by_id.keys() == {"evt_1", "evt_2"}
    for request in receiver.requests:
        assert signing.verify([secret], request.headers, request.body, clock())
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"] == settings().user_agent
    assert [by_id[name].headers["tracker-sequence"] for name in ("evt_1", "evt_2")] == ["1", "2"]
    for row in deliveries(database):
        assert (row.state, row.attempts, row.last_status) == ("succeeded", 1, 204)
        assert row.finished_at == clock()
        assert row.leased_until is None
    assert [row.number for row in attempts(database)] == [1, 1]


def test_a_dead_receiver_gets_the_schedule_and_no_more(database: Database, clock: Clock) -> None:
    """Ten attempts with one id and one body, each signed at its own time; then a dead letter."""
    with receiving(answer(500, b"out of order\x00")) as receiver:
        _, secret = register(database, receiver, clock)
        happen(database, clock, "evt_1")
        for number in range(1, MAX_ATTEMPTS + 1):
            assert deliver_due(database, settings(), now=clock) == 1
            assert deliver_due(database, settings(), now=clock) == 0
            request = receiver.requests[-1]
            assert signing.verify([secret], request.headers, request.body, clock())
            (row,) = deliveries(database)
            assert row.attempts == number
            if number < MAX_ATTEMPTS:
                assert row.state == "pending"
                wait = row.due_at - clock()
                assert DELAYS[number] * (1 - JITTER) <= wait <= DELAYS[number] * (1 + JITTER)
                clock.time = row.due_at - timedelta(milliseconds=1)
                assert deliver_due(database, settings(), now=clock) == 0
                clock.time = row.due_at
        clock.time += timedelta(days=1)
        assert deliver_due(database, settings(), now=clock) == 0
    assert row.state == "exhausted"
    assert row.finished_at is not None
    assert len(receiver.requests) == MAX_ATTEMPTS
    assert {request.body for request in receiver.requests} == {receiver.requests[0].body}
    assert {request.headers["webhook-id"] for request in receiver.requests} == {"evt_1"}
    assert {request.headers["tracker-sequence"] for request in receiver.requests} == {"1"}
    log = attempts(database)
    assert [item.number for item in log] == list(range(1, MAX_ATTEMPTS + 1))
    assert {(item.status, item.error, item.response) for item in log} == {
        (500, "answered 500", "out of order")
    }


def test_retry_after_puts_the_next_attempt_off(database: Database, clock: Clock) -> None:
    with receiving(answer(429, Retry_After="3600")) as receiver:
        register(database, receiver, clock)
        happen(database, clock, "evt_1")
        deliver_due(database, settings(), now=clock)
    (row,) = deliveries(database)
    assert row.due_at == clock() + timedelta(hours=1)


def test_410_disables_at_once(database: Database, clock: Clock) -> None:
    with receiving(answer(410)) as receiver:
        endpoint_id, _ = register(database, receiver, clock)
        happen(database, clock, "evt_1")
        deliver_due(database, settings(), now=clock)
        happen(database, clock, "evt_2")
        clock.time += timedelta(days=1)
        assert deliver_due(database, settings(), now=clock) == 0
    row = endpoint_row(database, endpoint_id)
    assert (row.state, row.disabled_reason) == ("disabled", "the receiver answered 410 Gone")
    assert [item.state for item in deliveries(database)] == ["exhausted"]
    assert len(receiver.requests) == 1


def test_failing_for_five_days_disables_and_the_rest_is_skipped(
    database: Database, clock: Clock
) -> None:
    with receiving(answer(503)) as receiver:
        endpoint_id, _ = register(database, receiver, clock)
        happen(database, clock, "evt_1")
        deliver_due(database, settings(), now=clock)
        assert endpoint_row(database, endpoint_id).failing_since == START
        clock.time += timedelta(days=4, hours=23)
        happen(database, clock, "evt_2")
        assert deliver_due(database, settings(), now=clock) == 2
        assert endpoint_row(database, endpoint_id).state == "enabled"
        clock.time += timedelta(hours=2)
        deliver_due(database, settings(), now=clock)
        row = endpoint_row(database, endpoint_id)
        assert row.state == "disabled"
        assert row.disabled_reason == "every delivery has failed since 2026-10-04 12:00 UTC"
        deliver_due(database, settings(), now=clock)
    assert {item.state for item in deliveries(database)} == {"skipped"}


def test_one_success_ends_the_failing(database: Database, clock: Clock) -> None:
    with receiving(answer(503)) as receiver:
        endpoint_id, _ = register(database, receiver, clock)
        happen(database, clock, "evt_1")
        deliver_due(database, settings(), now=clock)
    with receiving(answer(200)) as back:
        with database.transaction() as session:
            row = endpoints.get(session, endpoint_id, lock=True)
            row.url, row.allow_hosts = back.url, [back.host]
            session.add(row)
        clock.time += timedelta(days=6)
        deliver_due(database, settings(), now=clock)
    row = endpoint_row(database, endpoint_id)
    assert (row.state, row.failing_since) == ("enabled", None)


def test_what_is_owed_to_a_removed_endpoint_is_skipped(database: Database, clock: Clock) -> None:
    with receiving(answer(204)) as receiver:
        endpoint_id, _ = register(database, receiver, clock)
        happen(database, clock, "evt_1")
        with database.transaction() as session:
            endpoints.remove(session, endpoint_id, now=clock())
        assert deliver_due(database, settings(), now=clock) == 0
    (row,) = deliveries(database)
    assert (row.state, row.last_error) == ("skipped", "the endpoint is disabled or removed")
    assert receiver.requests == []


def test_both_secrets_sign_for_a_day_after_a_rotation(database: Database, clock: Clock) -> None:
    with receiving(answer(204)) as receiver:
        endpoint_id, first = register(database, receiver, clock)
        secrets = [first]
        for _ in range(2):
            with database.transaction() as session:
                secrets.append(endpoints.rotate(session, endpoint_id, now=clock())[1])
        happen(database, clock, "evt_1")
        deliver_due(database, settings(), now=clock)
        clock.time += timedelta(hours=24)
        happen(database, clock, "evt_2")
        deliver_due(database, settings(), now=clock)

    def signers(request: Received) -> list[int]:
        found = []
        for place, secret in enumerate(secrets):
            try:
                signing.verify([secret], request.headers, request.body, clock(), 100_000)
            except signing.SignatureError:
                continue
            found.append(place)
        return found

    assert [signers(request) for request in receiver.requests] == [[1, 2], [2]]


def test_a_refused_address_is_an_attempt_without_a_request(
    database: Database, clock: Clock
) -> None:
    """What the operator allowed at registration and took back since."""
    with receiving(answer(204)) as receiver:
        endpoint_id, _ = register(database, receiver, clock)
        with database.transaction() as session:
            row = endpoints.get(session, endpoint_id, lock=True)
            row.url, row.allow_hosts = f"https://127.0.0.1:{receiver.port}/", []
            session.add(row)
        happen(database, clock, "evt_1")
        config = settings(webhook_ports=(receiver.port,))
        assert deliver_due(database, config, now=clock) == 1
    (row,) = deliveries(database)
    assert (row.state, row.last_status) == ("pending", None)
    assert row.last_error == "127.0.0.1 is a loopback address"
    assert receiver.requests == []


def test_dying_between_the_post_and_the_record_sends_it_again(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracker.webhooks import deliver

    with receiving(answer(204)) as receiver:
        register(database, receiver, clock)
        happen(database, clock, "evt_1")
        with monkeypatch.context() as broken:
            broken.setattr(deliver.record, "record", lambda *_, **__: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                deliver_due(database, settings(), now=clock)
        assert deliver_due(database, settings(), now=clock) == 0  # leased
        clock.time += timedelta(seconds=26)
        assert deliver_due(database, settings(), now=clock) == 1
    assert len({(item.headers["webhook-id"], item.body) for item in receiver.requests}) == 1
    assert len(receiver.requests) == 2
    assert deliveries(database)[0].state == "succeeded"


def test_dying_in_every_attempt_cannot_exceed_the_schedule(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracker.webhooks import deliver

    with receiving(answer(204)) as receiver:
        register(database, receiver, clock)
        happen(database, clock, "evt_1")
        monkeypatch.setattr(deliver.record, "record", lambda *_, **__: 1 / 0)
        for _ in range(MAX_ATTEMPTS):
            with pytest.raises(ZeroDivisionError):
                deliver_due(database, settings(), now=clock)
            clock.time += timedelta(hours=1)
        assert deliver_due(database, settings(), now=clock) == 0
    assert len(receiver.requests) == MAX_ATTEMPTS
    (row,) = deliveries(database)
    assert row.state == "exhausted"
    assert row.last_error == "the process ended during the last attempt"


def test_a_last_attempt_that_is_abandoned_during_a_run_is_not_made_again(
    database: Database, clock: Clock
) -> None:
    with receiving(answer(204)) as receiver:
        register(database, receiver, clock)
        happen(database, clock, "evt_1")
        with database.transaction() as session:
            row = session.exec(select(Delivery)).one()
            row.attempts, row.leased_until = MAX_ATTEMPTS, START + timedelta(seconds=1)
            session.add(row)

        def later() -> datetime:
            """Each look at the clock is a second after the one before."""
            clock.time += timedelta(seconds=1)
            return clock.time - timedelta(seconds=1)

        assert deliver_due(database, settings(), now=later) == 0
        assert clock() > START + timedelta(seconds=1)
        deliver_due(database, settings(), now=later)
    assert receiver.requests == []
    (row,) = deliveries(database)
    assert (row.state, row.attempts) == ("exhausted", MAX_ATTEMPTS)


@pytest.mark.parametrize("value", [f"Sun, 04 Oct {'9' * 20} 12:00:00 GMT", "x" * 5_000, "-1"])
def test_a_retry_after_that_cannot_be_read_harms_nobody(
    database: Database, clock: Clock, value: str
) -> None:
    with (
        receiving(answer(503, Retry_After=value)) as hostile,
        receiving(answer(204)) as good,
    ):
        register(database, hostile, clock)
        register(database, good, clock)
        happen(database, clock, "evt_1")
        assert deliver_due(database, settings(), now=clock) == 2
    assert sorted(row.state for row in deliveries(database)) == ["pending", "succeeded"]


def test_two_processes_do_not_send_the_same(database: Database, clock: Clock) -> None:
    with receiving(answer(204)) as receiver:
        register(database, receiver, clock)
        happen(database, clock, *(f"evt_{number}" for number in range(120)))
        with ThreadPoolExecutor(3) as pool:
            runs = [pool.submit(deliver_due, database, settings(), now=clock) for _ in range(3)]
            assert sum(run.result(60) for run in runs) == 120
    assert len({item.headers["webhook-id"] for item in receiver.requests}) == 120
    assert len(receiver.requests) == 120
    assert {row.state for row in deliveries(database)} == {"succeeded"}


def test_a_slow_and_a_dead_receiver_do_not_starve_the_others(
    database: Database, clock: Clock
) -> None:
    """The quick one has all of its own while the slow one still thinks about its first."""
    release = threading.Event()

    def slow(handler: object, request: Received) -> None:
        release.wait(20)
        answer(204)(handler, request)  # type: ignore[arg-type]

    with receiving(slow) as turtle, receiving(answer(204)) as hare, receiving(answer(500)) as dead:
        for receiver in (turtle, dead, hare):
            register(database, receiver, clock)
        happen(database, clock, *(f"evt_{number}" for number in range(50)))
        config = settings(webhook_timeout_seconds=30.0, webhook_concurrency=8)
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(deliver_due, database, config, now=clock)
            end = time.monotonic() + 15
            while len(hare.requests) < 50 and time.monotonic() < end:
                time.sleep(0.01)
            while_slow = len(turtle.requests)
            # What happens during the wait is not kept waiting either.
            happen(database, clock, "evt_news")
            while len(hare.requests) < 51 and time.monotonic() < end:
                time.sleep(0.01)
            news = len(hare.requests)
            release.set()
            assert run.result(60) == 3 * 51
    assert news == 51
    assert while_slow <= 7


def test_the_limit_and_the_budget_are_kept(database: Database, clock: Clock) -> None:
    with receiving(answer(204)) as receiver:
        register(database, receiver, clock)
        happen(database, clock, *(f"evt_{number}" for number in range(10)))
        assert deliver_due(database, settings(), now=clock, limit=3) == 3
        assert deliver_due(database, settings(), now=clock, budget_seconds=0.0) == 0
        assert deliver_due(database, settings(), now=clock) == 7


def test_no_connection_is_held_while_a_receiver_is_waited_for(
    database: Database, clock: Clock
) -> None:
    idle: list[int] = []

    def look(handler: object, request: Received) -> None:
        time.sleep(0.1)
        with database.transaction() as session:
            idle.append(
                session.connection()
                .exec_driver_sql(
                    "select count(*) from pg_stat_activity where datname = current_database()"
                    " and state = 'idle in transaction'"
                )
                .scalar_one()
            )
        answer(204)(handler, request)  # type: ignore[arg-type]

    with receiving(look) as receiver:
        register(database, receiver, clock)
        happen(database, clock, "evt_1")
        deliver_due(database, settings(), now=clock)
    assert idle == [0]
