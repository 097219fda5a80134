"""Alerts from disclosures alone, through the real database: the bundled ones, and an operator's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlmodel import Session, col, select

from tests.bundled_world import FIRST_START, bundled_world
from tracker.config import Settings
from tracker.db import Database
from tracker.db.alerts import Alert, AlertGround, AlertRevision
from tracker.db.events import Event
from tracker.db.facts import Disclosure
from tracker.db.registry import Entity
from tracker.detection.disclosed_sales import evaluate
from tracker.detection.news import NewsPolicy
from tracker.embedded.servers import ServerUrls
from tracker.facts import disclosures
from tracker.facts.disclosures import NewDisclosure
from tracker.registry.repository import get_entity, list_entities

COIN = 10**8
NOW = FIRST_START
NEWS = NewsPolicy.of(Settings())


@pytest.fixture(scope="module")
def world(servers: ServerUrls) -> Iterator[Database]:
    with bundled_world(servers, "disclosed_alerts") as database:
        yield database


@pytest.fixture
def session(world: Database) -> Iterator[Session]:
    """A session whose work is undone."""
    with Session(world.engine) as found:
        yield found


def judge(session: Session, slug: str = "strategy", *, now: datetime = NOW) -> list[Alert]:
    """The alerts of an entity once its disclosures were judged, oldest first."""
    entity = get_entity(session, slug)
    evaluate(session, entity, news=NEWS, now=now)
    return alerts_of(session, entity)


def alerts_of(session: Session, entity: Entity) -> list[Alert]:
    query = select(Alert).where(Alert.entity_id == entity.id).order_by(col(Alert.opened_at))
    return list(session.exec(query))


def revisions(session: Session, alert: Alert) -> list[AlertRevision]:
    query = select(AlertRevision).where(AlertRevision.alert_id == alert.id)
    return list(session.exec(query.order_by(col(AlertRevision.revision))))


def events(session: Session) -> list[Event]:
    return list(session.exec(select(Event).order_by(col(Event.seq))))


def sale(session: Session, alert: Alert) -> Disclosure:
    """The disclosure that the alert's first clip cites."""
    ground = session.exec(select(AlertGround).where(AlertGround.alert_id == alert.id)).first()
    assert ground is not None
    shown = ground.data["shown"]
    return session.exec(
        select(Disclosure).where(
            Disclosure.entity_id == alert.entity_id,
            Disclosure.source == shown["document"],
            Disclosure.as_of == date.fromisoformat(shown["as_of"]),
            Disclosure.kind == "sale",
            col(Disclosure.closed_at).is_(None),
        )
    ).one()


def live_sale(quantity: str = "1200") -> NewDisclosure:
    """A filing of this morning, given by the operator."""
    return NewDisclosure(
        as_of=NOW.date(),
        asset="BTC",
        kind="sale",
        source="https://example.com/8-k",
        quantity=Decimal(quantity),
        cost_usd=Decimal(90_000_000),
        evidence="primary",
        published_at=NOW - timedelta(minutes=10),
        quote="we sold bitcoin",
    )


def test_strategys_sale_of_32_is_an_alert_and_its_four_sales_are_one(session: Session) -> None:
    alerts = judge(session)
    assert [alert.amount for alert in alerts] == [704 * COIN, 32 * COIN, 6916 * COIN]
    small, four = alerts[1], alerts[2]
    assert small.opened_at.date() in (date(2026, 5, 31), date(2026, 6, 1))
    assert [(row.transition, row.amount) for row in revisions(session, four)] == [
        ("opened", 1363 * COIN),
        ("revised", (1363 + 2225) * COIN),
        ("revised", (1363 + 2225 + 1637) * COIN),
        ("revised", 6916 * COIN),
    ]
    grounds = session.exec(select(AlertGround).where(AlertGround.alert_id == four.id)).all()
    assert len(grounds) == 4
    for ground in grounds:
        assert ground.data["shown"]["document"].startswith("https://www.sec.gov/")
        assert ground.data["shown"]["as_of"] in ground.ref


def test_what_the_bundle_shows_is_history_and_nobody_is_told(session: Session) -> None:
    found = [
        alert
        for entity in list_entities(session)
        if entity.role == "holder"
        for alert in judge(session, entity.slug)
    ]
    assert len(found) > 10
    assert all(alert.historical for alert in found)
    assert events(session) == []


@pytest.mark.parametrize("slug", ["sharplink", "trump-media", "zooz"])
def test_a_change_of_measure_a_pledge_and_a_rounding_are_no_alert(
    session: Session, slug: str
) -> None:
    assert judge(session, slug) == []


def test_judging_again_writes_nothing(session: Session) -> None:
    judge(session)
    entity = get_entity(session, "strategy")
    assert evaluate(session, entity, news=NEWS, now=NOW + timedelta(days=1)) == 0
    assert not session.dirty
    assert not session.new


def test_a_corrected_figure_revises_the_same_alert(session: Session) -> None:
    before = judge(session)[1]
    row = sale(session, before)
    said = before.revision
    # Away from what the balances say, so that the statement counts.
    row.amount = 40 * COIN
    row.cost = Decimal(1)
    session.flush()
    after = judge(session)[1]
    assert (after.id, after.amount, after.revision) == (before.id, 40 * COIN, said + 1)
    assert revisions(session, after)[-1].why.startswith("corrected: 40 BTC")
    assert evaluate(session, get_entity(session, "strategy"), news=NEWS, now=NOW) == 0


def test_a_withdrawn_sale_is_retracted_and_comes_back_under_the_same_id(session: Session) -> None:
    session.add(disclosures.add(session, holder(session), live_sale(), now=NOW))
    (alert,) = [one for one in judge(session) if not one.historical]
    row = sale(session, alert)
    row.closed_at = NOW
    session.flush()
    judge(session)
    session.refresh(alert)
    assert (alert.status, alert.revision) == ("retracted", 2)
    assert [event.type for event in events(session)] == ["sell_off.opened", "sell_off.retracted"]
    row.closed_at = None
    session.flush()
    judge(session)
    session.refresh(alert)
    assert (alert.status, alert.amount, alert.revision) == ("open", 1200 * COIN, 3)
    assert events(session)[-1].type == "sell_off.revised"


def holder(session: Session, slug: str = "strategy") -> int:
    found = get_entity(session, slug).id
    assert found is not None
    return found


def test_a_sale_disclosed_today_is_news_and_judged_by_what_was_held(session: Session) -> None:
    judge(session)
    disclosures.add(session, holder(session), live_sale("60000"), now=NOW)
    (alert,) = [one for one in judge(session) if not one.historical]
    assert (alert.state, alert.severity, alert.finality) == ("disclosed", "critical", "final")
    assert alert.share_of_disclosed is not None
    assert Decimal("0.05") < alert.share_of_disclosed < Decimal("0.2")
    (event,) = events(session)
    assert (event.type, event.alert_id) == ("sell_off.opened", alert.id)
    assert b'"historical":false' in event.body.replace(b": ", b":")


def test_the_next_balance_makes_a_told_sale_no_second_time_news(session: Session) -> None:
    """A sale stated alone, then the week's balance that agrees: more detail, the same claim."""
    disclosures.add(session, holder(session), live_sale(), now=NOW)
    (alert,) = [one for one in judge(session) if not one.historical]
    held = session.exec(
        select(Disclosure)
        .where(
            Disclosure.entity_id == alert.entity_id,
            Disclosure.kind == "total",
            Disclosure.measure == "total",
            Disclosure.asset == "BTC",
            col(Disclosure.closed_at).is_(None),
        )
        .order_by(col(Disclosure.as_of).desc())
    ).first()
    assert held is not None
    assert held.amount is not None
    now = NOW + timedelta(days=1)
    total = NewDisclosure(
        as_of=now.date(),
        asset="BTC",
        kind="total",
        source="https://example.com/balance",
        quantity=Decimal(held.amount - 1200 * COIN) / COIN,
        evidence="primary",
        published_at=now,
    )
    disclosures.add(session, alert.entity_id, total, now=now)
    judge(session, now=now)
    session.refresh(alert)
    assert alert.revision == 1
    assert [event.type for event in events(session)] == ["sell_off.opened"]
    (evidence,) = [item for item in alert.evidence if item["rule"] == "disclosed_sale"]
    assert evidence["data"]["after"] == str(held.amount - 1200 * COIN)
    assert evaluate(session, get_entity(session, "strategy"), news=NEWS, now=now) == 0


def test_the_last_disclosure_of_an_asset_can_be_withdrawn_too(session: Session) -> None:
    entity = Entity(slug="brief", name="Brief", kind="dat", role="holder", recorded_at=NOW)
    session.add(entity)
    session.flush()
    disclosures.add(session, entity.id or 0, live_sale(), now=NOW)
    (alert,) = judge(session, "brief")
    sale(session, alert).closed_at = NOW
    session.flush()
    (alert,) = judge(session, "brief")
    assert alert.status == "retracted"


def test_a_rule_switched_off_takes_nothing_back(session: Session) -> None:
    entity = get_entity(session, "strategy")
    before = [(alert.id, alert.status) for alert in judge(session)]
    entity.rules = {"sell_off": False}
    session.flush()
    disclosures.add(session, holder(session), live_sale(), now=NOW)
    assert [(alert.id, alert.status) for alert in judge(session)] == before
    assert events(session) == []


def test_an_incident_ends_after_sixty_quiet_days_and_says_so_once(session: Session) -> None:
    disclosures.add(session, holder(session), live_sale(), now=NOW)
    judge(session)
    later = NOW + timedelta(days=61)
    judge(session, now=later)
    judge(session, now=later + timedelta(hours=1))
    assert [event.type for event in events(session)] == ["sell_off.opened", "sell_off.closed"]
