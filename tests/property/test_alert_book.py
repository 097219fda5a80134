"""Any order of growth, reorganisation and withdrawal: an alert says what stands, once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, col, select

from tests import servers as running
from tracker.db import Database
from tracker.db.alerts import Alert, AlertRevision
from tracker.db.events import Event
from tracker.db.registry import Entity
from tracker.detection import repository
from tracker.detection.lifecycle import AlertBook
from tracker.detection.news import NewsPolicy
from tracker.domain.alert import Belief
from tracker.domain.entity import Tier
from tracker.domain.sell_off import Clip
from tracker.embedded.servers import ServerUrls

NOW = datetime(2026, 5, 1, tzinfo=UTC)
NEWS = NewsPolicy(timedelta(hours=24), timedelta(hours=2), "http://localhost")
CLIPS = 3


@pytest.fixture(scope="module")
def database(servers: ServerUrls) -> Iterator[Database]:
    with running.fresh_database(servers, f"alert_book_{running.worker_number()}") as url:
        made = Database(url)
        yield made
        made.dispose()


def clip(number: int = 0, *, height: int = 10, at: datetime = NOW) -> Clip:
    block = bytes([height]) * 32
    return Clip(
        ref=f"transfer:{number}",
        kind="transfer",
        at=at,
        amount=10**number,
        value_usd=None,
        probability=Decimal("0.8"),
        belief=Belief.PROBABLE,
        disclosed=10**6,
        first_in_year=False,
        tiers=(Tier.ATTESTED,),
        says="sold",
        ground={"chain": "bitcoin", "height": height, "hash": block.hex(), "transfer": str(number)},
    )


class Play:
    """One alert of one entity in a transaction that is undone."""

    def __init__(self, session: Session, *, first: Clip | None = None) -> None:
        self.session = session
        self.entity = Entity(slug="acme", name="Acme", kind="dat", role="holder", recorded_at=NOW)
        session.add(self.entity)
        session.flush()
        self.book = AlertBook(session, NEWS, NOW)
        self.alert = self.book.open(self.entity, "sell_off", "BTC", first or clip())

    def events(self) -> list[Event]:
        return list(self.session.exec(select(Event).order_by(col(Event.seq))))

    def types(self) -> list[str]:
        return [event.type.removeprefix("sell_off.") for event in self.events()]

    def revisions(self) -> list[AlertRevision]:
        query = select(AlertRevision).where(AlertRevision.alert_id == self.alert.id)
        return list(self.session.exec(query.order_by(col(AlertRevision.revision))))


@pytest.fixture
def play(database: Database) -> Iterator[Play]:
    with Session(database.engine) as session:
        yield Play(session)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["mine", "orphan", "settle", "withdraw"]),
        st.sets(st.integers(0, CLIPS - 1), min_size=1),
    ),
    max_size=12,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS)
@example([("mine", {1}), ("orphan", {0}), ("withdraw", {1}), ("mine", {2}), ("orphan", {2})])
def test_an_alert_is_the_fold_of_what_stands(
    database: Database, steps: list[tuple[str, set[int]]]
) -> None:
    with Session(database.engine) as session:
        play = Play(session)
        book, alert, name = play.book, play.alert, play.alert.id
        stands, waits = {0}, set[int]()
        for act, numbers in steps:
            said = alert.revision
            if act == "mine":
                for number in sorted(numbers - stands):
                    book.add(alert, play.entity, clip(number))
                    said += 1
                stands |= numbers
                waits -= numbers
            elif act == "orphan" and numbers & stands:
                lost = numbers & stands
                book.suspend(alert, [clip(number).ref for number in lost], 10)
                stands -= lost
                waits |= lost
                assert alert.status == "suspended"
            elif act == "settle":
                said += bool(waits)
                book.settle(alert, play.entity, NOW)
                waits = set()
            elif act == "withdraw" and numbers & stands:
                lost = numbers & stands
                book.withdraw(alert, play.entity, [clip(number).ref for number in lost], "gone")
                stands -= lost
                said += 1
                waits = waits if stands else set()
            assert alert.revision == said, act
            if waits:
                assert alert.status == "suspended"
            else:
                assert alert.status == ("open" if stands else "retracted")
            if stands and not waits:
                assert alert.amount == sum(10**number for number in stands)
        assert alert.id == name
        assert [row.revision for row in play.revisions()] == list(range(1, alert.revision + 1))
        # Every revision was told once, each naming the event that it supersedes.
        events = play.events()
        assert len(events) == alert.revision
        assert len({event.id for event in events}) == len(events)
        assert repository.last_event_id(session, alert.id) == events[-1].id
        for before, event in pairwise(events):
            assert f'"supersedes":"{before.id}"'.encode() in event.body


def test_a_reorganisation_of_a_sale_says_nothing_of_one_lost_before(play: Play) -> None:
    """Ground that an earlier fork took for good is not waited for, and not lost again."""
    play.book.add(play.alert, play.entity, clip(1))
    play.book.suspend(play.alert, ["transfer:1"], 10)
    play.book.settle(play.alert, play.entity, NOW)
    play.book.suspend(play.alert, ["transfer:0"], 11)
    play.book.add(play.alert, play.entity, clip(0, height=11))
    assert (play.alert.status, play.alert.suspended_height) == ("open", None)
    play.book.settle(play.alert, play.entity, NOW)
    assert play.types() == ["opened", "revised", "revised", "revised"]


def test_a_muted_alert_grows_in_silence_but_is_taken_back_aloud(play: Play) -> None:
    play.alert.muted_until = NOW + timedelta(hours=1)
    play.book.add(play.alert, play.entity, clip(1))
    assert play.alert.revision == 2
    assert play.types() == ["opened"]
    play.book.withdraw(play.alert, play.entity, ["transfer:0", "transfer:1"], "gone")
    assert play.types() == ["opened", "retracted"]


def test_a_mute_that_ended_is_none(play: Play) -> None:
    play.alert.muted_until = NOW - timedelta(seconds=1)
    play.book.add(play.alert, play.entity, clip(1))
    assert play.types() == ["opened", "revised"]


def test_history_that_grows_today_becomes_news(database: Database) -> None:
    with Session(database.engine) as session:
        play = Play(session, first=clip(at=NOW - timedelta(days=3)))
        assert play.alert.historical
        play.book.add(play.alert, play.entity, clip(1, at=NOW - timedelta(days=2)))
        assert (play.alert.historical, play.types()) == (True, [])
        play.book.add(play.alert, play.entity, clip(2))
        assert (play.alert.historical, play.types()) == (False, ["revised"])
        # What was told stays told: its end is told too.
        play.book.withdraw(play.alert, play.entity, ["transfer:2"], "gone")
        assert play.types() == ["revised", "revised"]


def test_history_that_is_withdrawn_is_never_told(database: Database) -> None:
    with Session(database.engine) as session:
        play = Play(session, first=clip(at=NOW - timedelta(days=3)))
        play.book.withdraw(play.alert, play.entity, ["transfer:0"], "gone")
        assert (play.alert.status, play.types()) == ("retracted", [])


def test_a_closed_alert_closes_once_and_opens_again_by_the_same_id(play: Play) -> None:
    play.book.close(play.alert, play.entity, NOW, "quiet")
    play.book.close(play.alert, play.entity, NOW, "quiet")
    assert (play.alert.status, play.alert.revision) == ("closed", 1)
    play.book.add(play.alert, play.entity, clip(1))
    assert (play.alert.status, play.alert.closed_at) == ("open", None)
    play.book.close(play.alert, play.entity, NOW, "quiet again")
    assert play.types() == ["opened", "closed", "revised", "closed"]
    assert len({event.id for event in play.events()}) == 4


def test_a_retracted_alert_is_revived_under_its_id(play: Play) -> None:
    play.book.withdraw(play.alert, play.entity, ["transfer:0"], "gone")
    again = play.book.open(play.entity, "sell_off", "BTC", clip())
    assert again.id == play.alert.id
    assert (again.status, again.revision, again.closed_at) == ("open", 3, None)
    assert play.types() == ["opened", "retracted", "revised"]


def test_what_is_found_late_says_so(database: Database) -> None:
    with Session(database.engine) as session:
        play = Play(session, first=clip(at=NOW - timedelta(hours=3)))
        assert play.alert.detected_late
        assert not play.alert.historical
        assert b'"detected_late":true' in play.events()[0].body


def test_only_the_newest_of_its_ids_is_superseded(play: Play) -> None:
    assert play.book.open(play.entity, "sell_off", "ETH", clip()).id != play.alert.id
    assert isinstance(play.alert, Alert)
    bodies = [event.body for event in play.events()]
    assert all(b'"supersedes":null' in body for body in bodies)
