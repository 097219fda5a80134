"""Bundled facts in a real database: written once, corrected by closing, operators' rows kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from sqlalchemy import func, text
from sqlmodel import Session, col, select

from tests.bundled_world import FIRST_START, bundled_world
from tracker.db import Database
from tracker.db.facts import Capital, CorporateAction, Disclosure, Price
from tracker.embedded.servers import ServerUrls
from tracker.errors import ConflictError, InputError
from tracker.facts import bundled, disclosures, repository
from tracker.facts.disclosures import NewDisclosure
from tracker.facts.sync import SyncReport, sync_facts
from tracker.registry.repository import get_entity

LATER = FIRST_START + timedelta(days=1)
BTC = 10**8


@pytest.fixture(scope="module")
def world(servers: ServerUrls) -> Iterator[Database]:
    with bundled_world(servers, "facts_sync") as database:
        yield database


@pytest.fixture
def session(world: Database) -> Iterator[Session]:
    """A session whose work is undone, so that every test sees the first start."""
    with Session(world.engine) as found:
        yield found


def entity_id(session: Session, slug: str) -> int:
    found = get_entity(session, slug).id
    assert found is not None
    return found


def test_the_bundle_is_stored_whole(session: Session) -> None:
    def count(table: type) -> int:
        return session.exec(select(func.count()).select_from(table)).one()

    assert count(Disclosure) == len(list(bundled.disclosures()))
    assert count(Capital) == len(list(bundled.capital()))
    assert count(CorporateAction) == len(list(bundled.corporate_actions()))
    assert count(Price) == len(list(bundled.closes())) + len(list(bundled.fx_rates()))


def test_a_second_sync_writes_nothing(session: Session) -> None:
    def written() -> str:
        """PostgreSQL's own count of rows touched by this transaction."""
        return str(
            session.execute(
                text("select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_xact_user_tables")
            ).scalar_one()
        )

    before = written()
    report = sync_facts(session, now=LATER)
    assert (report.added, report.closed, report.unknown_entities) == (0, 0, ())
    assert report.unchanged > 20_000
    assert written() == before


def test_disclosures_are_in_base_units_and_first_seen_at_the_sync(session: Session) -> None:
    strategy = entity_id(session, "strategy")
    held = repository.disclosed_at(session, strategy, "BTC", date(2023, 12, 30))
    assert held is not None
    assert held.amount == 189_150 * BTC
    assert held.first_seen == FIRST_START
    assert held.owner == "bundled"


def test_a_changed_row_is_closed_and_stored_anew(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = list(bundled.disclosures())
    index = next(i for i, row in enumerate(rows) if row.kind == "total" and row.asset == "BTC")
    old = rows[index]
    assert old.quantity is not None
    rows[index] = replace(old, quantity=old.quantity + 1)
    monkeypatch.setattr(bundled, "disclosures", lambda: iter(rows))
    entity = entity_id(session, old.entity)

    report = sync_facts(session, now=LATER)

    assert (report.added, report.closed) == (1, 1)
    now_believed = repository.disclosures_of(session, entity)
    then_believed = repository.disclosures_of(session, entity, known_at=FIRST_START)
    amounts = [
        next(
            row.amount
            for row in believed
            if (row.as_of, row.source, row.kind, row.measure)
            == (old.as_of, old.source, old.kind, old.measure)
        )
        for believed in (then_believed, now_believed)
    ]
    assert amounts == [int(old.quantity * BTC), int((old.quantity + 1) * BTC)]


def test_a_row_that_left_the_bundle_is_closed(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = list(bundled.capital())
    monkeypatch.setattr(bundled, "capital", lambda: iter(rows[1:]))
    report = sync_facts(session, now=LATER)
    assert (report.added, report.closed) == (0, 1)
    closed = session.exec(select(Capital).where(col(Capital.closed_at).is_not(None))).one()
    assert closed.closed_at == LATER


def test_a_corrected_corporate_action_is_replaced(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        replace(row, ratio=Fraction(11)) if row.entity == "strategy" else row
        for row in bundled.corporate_actions()
    ]
    monkeypatch.setattr(bundled, "corporate_actions", lambda: iter(rows))
    report = sync_facts(session, now=LATER)
    assert (report.added, report.closed) == (1, 1)
    (action,) = repository.actions(session, entity_ids=[entity_id(session, "strategy")])
    assert (action.numerator, action.denominator) == (11, 1)


def test_facts_of_an_unknown_entity_are_left_out_and_named(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = replace(next(bundled.disclosures()), entity="nobody-knows")
    rows = [*bundled.disclosures(), extra]
    monkeypatch.setattr(bundled, "disclosures", lambda: iter(rows))
    report = sync_facts(session, now=LATER)
    assert report.unknown_entities == ("nobody-knows",)
    assert (report.added, report.closed) == (0, 0)


def test_two_bundled_facts_with_one_key_are_refused(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = list(bundled.disclosures())
    monkeypatch.setattr(bundled, "disclosures", lambda: iter([*rows, rows[0]]))
    with pytest.raises(InputError, match="one key"):
        sync_facts(session, now=LATER)


# -- totals --------------------------------------------------------------------------------------


def stored(
    session: Session, entity: int, day: date, quantity: int, evidence: str, measure: str = "total"
) -> None:
    repository.add_disclosure(
        session,
        Disclosure(
            entity_id=entity,
            as_of=day,
            asset="ETH",
            kind="total",
            amount=quantity * 10**18,
            measure=measure,
            evidence=evidence,
            source=f"{evidence} {measure} {quantity}",
            first_seen=LATER,
            recorded_at=LATER,
        ),
    )


def test_the_best_evidence_of_a_day_wins_and_staked_coins_are_no_total(session: Session) -> None:
    entity = entity_id(session, "bitmine")
    day = date(2026, 11, 1)
    stored(session, entity, day, 1, "press")
    stored(session, entity, day, 2, "transcribed")
    stored(session, entity, day, 3, "tracker")
    stored(session, entity, day + timedelta(days=1), 9, "primary", "staked")
    found = repository.latest_totals(session, entity_ids=[entity])[entity]["ETH"]
    assert found.amount == 2 * 10**18
    earlier = repository.latest_totals(session, at=date(2025, 7, 31), entity_ids=[entity])
    assert earlier[entity]["ETH"].as_of <= date(2025, 7, 31)


# -- an operator's own disclosures ---------------------------------------------------------------

ROW = {"as_of": "2026-11-10", "asset": "BTC", "kind": "total", "quantity": "12.5", "source": "ir/1"}


def test_an_operators_disclosure_counts_and_survives_a_sync(session: Session) -> None:
    tesla = entity_id(session, "tesla")
    row = disclosures.add(session, tesla, disclosures.from_row(ROW), now=LATER)
    assert row.owner == "operator"
    assert disclosures.add(session, tesla, disclosures.from_row(ROW), now=LATER).id == row.id
    assert sync_facts(session, now=LATER + timedelta(days=1)).closed == 0
    found = repository.disclosed_at(session, tesla, "BTC", LATER.date())
    assert found is not None
    assert found.amount == 1_250_000_000


def test_an_operators_correction_closes_the_earlier_row(session: Session) -> None:
    tesla = entity_id(session, "tesla")
    first = disclosures.add(session, tesla, disclosures.from_row(ROW), now=LATER)
    second = disclosures.add(
        session, tesla, disclosures.from_row(ROW | {"quantity": "13"}), now=LATER
    )
    session.refresh(first)
    assert first.closed_at == LATER
    assert second.amount == 13 * BTC


def test_a_bundled_disclosure_is_not_overwritten(session: Session) -> None:
    bundled_row = next(bundled.disclosures())
    new = NewDisclosure(
        as_of=bundled_row.as_of,
        asset=bundled_row.asset,
        kind=bundled_row.kind,
        source=bundled_row.source,
        quantity=Decimal(1),
        measure=bundled_row.measure,
    )
    with pytest.raises(ConflictError, match="bundled facts"):
        disclosures.add(session, entity_id(session, bundled_row.entity), new, now=LATER)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"as_of": "2026-13-01"}, "as_of"),
        ({"as_of": "2031-01-01"}, "as_of"),
        ({"as_of": ""}, "as_of"),
        ({"asset": "DOGE"}, "asset"),
        ({"kind": "rumour"}, "kind"),
        ({"quantity": "-1"}, "quantity"),
        ({"quantity": "1e999999"}, "quantity"),
        ({"quantity": "0.123456789"}, "quantity"),
        ({"quantity": "a lot"}, "quantity"),
        ({"quantity": ""}, "quantity"),
        ({"source": " "}, "source"),
        ({"evidence": "hearsay"}, "evidence"),
        ({"published_at": "2026-11-10"}, "published_at"),
        ({"published_at": "2031-01-01T00:00:00Z"}, "published_at"),
        ({"period_start": "2026-11-09", "period_end": "2026-11-01"}, "period_end"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_row_names_its_field(session: Session, change: dict[str, str], field: str) -> None:
    with pytest.raises(InputError) as caught:
        disclosures.add(
            session, entity_id(session, "tesla"), disclosures.from_row(ROW | change), now=LATER
        )
    assert caught.value.field == field
    assert caught.value.mend


def test_the_report_counts_every_bundled_row(postgres_url: str) -> None:
    database = Database(postgres_url)
    try:
        with database.transaction() as session:
            report = sync_facts(session, now=datetime.fromisoformat("2026-01-01T00:00:00Z"))
    finally:
        database.dispose()
    prices = len(list(bundled.closes())) + len(list(bundled.fx_rates()))
    assert report == SyncReport(prices, 0, 0, report.unknown_entities)
    assert "strategy" in report.unknown_entities
