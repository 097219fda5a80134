"""Publishing on a real PostgreSQL: gapless cursors, nothing skipped, one fan-out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session, select

from tracker.db import Database
from tracker.db.events import Event
from tracker.db.registry import Entity
from tracker.db.webhooks import Delivery, Endpoint
from tracker.errors import InputError
from tracker.events import feed, outbox, publish

NOW = datetime(2026, 10, 4, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url, pool_size=8)
    yield database
    database.dispose()


def write(session: Session, name: str, **changes: object) -> None:
    values: dict[str, object] = {
        "type": "sell_off.opened",
        "timestamp": NOW,
        "data": {"event_id": name},
        "alert_id": None,
        "entity_slug": "strategy",
        "asset": "BTC",
        "severity": "warning",
        "tier": None,
        "created_at": NOW,
    }
    outbox.add(session, id=name, **{**values, **changes})  # type: ignore[arg-type]


def subscribe(session: Session, name: str, **filters: object) -> None:
    session.add(Endpoint(id=name, url="https://example.org/", created_at=NOW, **filters))


def owed(database: Database) -> dict[str, list[tuple[int, str]]]:
    found: dict[str, list[tuple[int, str]]] = {}
    with database.transaction() as session:
        for row in session.exec(select(Delivery).order_by(Delivery.endpoint_id, Delivery.sequence)):  # type: ignore[arg-type]
            found.setdefault(row.endpoint_id, []).append((row.sequence, row.event_id))
    return found


def test_an_event_is_written_once(database: Database) -> None:
    for data in ({"n": 1}, {"n": 2}):
        with database.transaction() as session:
            write(session, "evt_1", data=data)
    with database.transaction() as session:
        assert [bytes(row.body) for row in session.exec(select(Event))] == [
            b'{"type":"sell_off.opened","timestamp":"2026-10-04T12:00:00Z","data":{"n":1}}'
        ]


def test_an_event_of_a_transaction_that_failed_is_not(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as session:
            write(session, "evt_1")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with database.transaction() as session:
        assert publish.publish_pending(session, now=NOW) == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("severity", "loud"),
        ("tier", "rumour"),
        ("stream", "test"),
        ("type", "Sell-Off"),
        ("data", {"a": 1j}),
    ],
)
def test_a_bad_event_is_refused(database: Database, field: str, value: object) -> None:
    with database.transaction() as session, pytest.raises(InputError) as refused:
        write(session, "evt_1", **{field: value})
    assert refused.value.field == field


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a\r\nb", "x" * 200])
def test_an_id_that_no_header_can_carry_is_refused(database: Database, name: str) -> None:
    with database.transaction() as session, pytest.raises(InputError, match="event id"):
        write(session, name)


def test_cursors_and_sequences_have_no_gaps(database: Database) -> None:
    with database.transaction() as session:
        subscribe(session, "ep_all")
        subscribe(session, "ep_opened", types=["*.opened"])
        subscribe(session, "ep_off", state="disabled")
        subscribe(session, "ep_gone", deleted_at=NOW)
        for number in range(7):
            kind = "sell_off.opened" if number % 2 else "sell_off.revised"
            write(session, f"evt_{number}", type=kind)
        write(session, "evt_stale", type="source_stale", stream="operations", entity_slug=None)
    published = []
    for _ in range(4):
        with database.transaction() as session:
            published.append(publish.publish_pending(session, now=NOW, limit=3))
    assert published == [3, 3, 2, 0]
    with database.transaction() as session:
        assert [item.cursor for item in feed.after(session, 0)] == list(range(1, 8))
        assert [item.id for item in feed.after(session, 0)] == [f"evt_{n}" for n in range(7)]
        assert feed.latest_cursor(session) == 8
    assert owed(database) == {
        "ep_all": [(number + 1, f"evt_{number}") for number in range(7)],
        "ep_opened": [(1, "evt_1"), (2, "evt_3"), (3, "evt_5")],
    }


def test_cohorts_go_by_the_entity_s_kind(database: Database) -> None:
    with database.transaction() as session:
        for slug, kind in (("strategy", "dat"), ("bhutan", "sovereign")):
            session.add(Entity(slug=slug, name=slug, kind=kind, role="holder", recorded_at=NOW))
        subscribe(session, "ep_states", cohorts=["sovereigns"])
        subscribe(session, "ep_btc", cohorts=["btc_dats"])
        write(session, "evt_1", entity_slug="strategy")
        write(session, "evt_2", entity_slug="bhutan")
        write(session, "evt_3", entity_slug="strategy", asset="ETH")
    with database.transaction() as session:
        publish.publish_pending(session, now=NOW)
    assert owed(database) == {"ep_btc": [(1, "evt_1")], "ep_states": [(1, "evt_2")]}


def test_a_late_commit_is_never_skipped(database: Database) -> None:
    """The row written first commits last: it comes behind what was published meanwhile."""
    written, may_commit = threading.Event(), threading.Event()

    def late() -> None:
        with database.transaction() as session:
            write(session, "evt_late")
            session.flush()
            written.set()
            assert may_commit.wait(10)

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(late)
        assert written.wait(10)
        with database.transaction() as session:
            write(session, "evt_quick")
        with database.transaction() as session:
            assert publish.publish_pending(session, now=NOW) == 1
        with database.transaction() as session:
            seen = feed.after(session, 0)
        assert [(item.cursor, item.id) for item in seen] == [(1, "evt_quick")]
        may_commit.set()
        slow.result(10)
    with database.transaction() as session:
        assert publish.publish_pending(session, now=NOW) == 1
    with database.transaction() as session:
        rows = {row.id: row.seq for row in session.exec(select(Event))}
        after = feed.after(session, seen[-1].cursor)
    assert rows["evt_late"] < rows["evt_quick"]  # type: ignore[operator]
    assert [(item.cursor, item.id) for item in after] == [(2, "evt_late")]


def test_only_one_publishes_at_a_time(database: Database) -> None:
    with database.transaction() as session:
        write(session, "evt_1")
    with database.transaction() as first, database.transaction() as second:
        assert publish.publish_pending(first, now=NOW) == 1
        assert publish.publish_pending(second, now=NOW) == 0


def test_a_reader_sees_every_event_once_whatever_the_writers_do(database: Database) -> None:
    """Four writers of overlapping transactions, two publishers, one reader by cursor."""
    with database.transaction() as session:
        subscribe(session, "ep_all")
    per_writer, writers = 40, 4
    total = per_writer * writers
    stop = threading.Event()
    barrier = threading.Barrier(writers + 3)

    def writer(who: int) -> None:
        barrier.wait()
        for number in range(per_writer):
            with database.transaction() as session:
                write(session, f"evt_{who}_{number}")
                session.flush()
                if (who + number) % 5 == 0:
                    stop.wait(0.01)

    def publisher() -> None:
        barrier.wait()
        while not stop.is_set():
            with database.transaction() as session:
                publish.publish_pending(session, now=NOW, limit=7)

    def reader() -> list[tuple[int, str]]:
        barrier.wait()
        read: list[tuple[int, str]] = []
        end = datetime.now(UTC) + timedelta(seconds=60)
        while len(read) < total and datetime.now(UTC) < end:
            with database.transaction() as session:
                page = feed.after(session, read[-1][0] if read else 0, 11)
            read += [(item.cursor, item.id) for item in page]
        stop.set()
        return read

    with ThreadPoolExecutor(writers + 3) as pool:
        jobs = [pool.submit(writer, who) for who in range(writers)]
        jobs += [pool.submit(publisher) for _ in range(2)]
        read = pool.submit(reader).result(90)
        for job in jobs:
            job.result(30)
    assert [cursor for cursor, _ in read] == list(range(1, total + 1))
    assert len({name for _, name in read}) == total
    assert owed(database) == {"ep_all": read}


@pytest.mark.parametrize(("cursor", "limit"), [(-1, 10), (2**63, 10), (0, 0), (0, 501)])
def test_the_feed_is_bounded(database: Database, cursor: int, limit: int) -> None:
    with database.transaction() as session, pytest.raises(InputError):
        feed.after(session, cursor, limit)


def test_the_feed_in_the_contract_s_form(database: Database) -> None:
    with database.transaction() as session:
        assert feed.latest_cursor(session) == 0
        write(session, "evt_1")
        write(session, "evt_2", type="source_stale", stream="operations")
        publish.publish_pending(session, now=NOW)
        assert [item.as_dict() for item in feed.after(session, 0)] == [
            {
                "cursor": 1,
                "id": "evt_1",
                "type": "sell_off.opened",
                "timestamp": "2026-10-04T12:00:00Z",
                "data": {"event_id": "evt_1"},
            }
        ]
        both = feed.after(session, 0, streams=("alerts", "operations"))
        assert [item.id for item in both] == ["evt_1", "evt_2"]
