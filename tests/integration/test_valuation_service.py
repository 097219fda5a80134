"""mNAV of the bundled treasuries: exact inputs, one split basis, honest gaps, honest dates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from sqlalchemy import event
from sqlmodel import Session

from tests.bundled_world import FIRST_START, bundled_world
from tracker.db import Database
from tracker.db.facts import Disclosure
from tracker.db.registry import Entity
from tracker.domain.money import Money
from tracker.domain.quote import Quote, QuoteState
from tracker.embedded.servers import ServerUrls
from tracker.errors import InputError
from tracker.facts import repository
from tracker.facts.prices.repository import record_price
from tracker.registry.repository import entities_by_id, get_entity, list_entities
from tracker.valuation import contract, service
from tracker.valuation.service import EntityValuation

# Those with a share count, a total and a series of closes; the others have no close in the bundle.
BASIC = {
    "bit-digital", "bitmine", "mara", "metaplanet", "nakamoto", "sharplink", "strategy",
    "twenty-one",
}  # fmt: skip
WITH_EV = BASIC - {"nakamoto"}  # its preferred stock is not stated


@pytest.fixture(scope="module")
def world(servers: ServerUrls) -> Iterator[Database]:
    with bundled_world(servers, "valuation") as database:
        yield database


@pytest.fixture
def session(world: Database) -> Iterator[Session]:
    with Session(world.engine) as found:
        yield found


@pytest.fixture
def strategy(session: Session) -> Entity:
    return get_entity(session, "strategy")


def end_of(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T23:59:59Z")


def inputs_of(found: EntityValuation, definition: str) -> dict[str, Decimal]:
    (one,) = [row for row in found.definitions if row.id == definition]
    return {given.name: given.value for given in one.inputs}


def test_strategy_at_the_end_of_2023_is_1_33_and_not_a_tenth_of_it(
    session: Session, strategy: Entity
) -> None:
    found = service.mnav(session, strategy, at=end_of("2023-12-31"))
    inputs = inputs_of(found, "basic")
    assert inputs["basic_shares"] == 168_680_250
    assert inputs["holdings.BTC"] == 189_150
    expected = inputs["price"] * 168_680_250 / (189_150 * inputs["coin_prices.BTC"])
    basic = found.value_of("basic")
    assert basic is not None
    assert abs(basic - expected) < Decimal("1e-15")
    assert round(basic, 2) == Decimal("1.33")


def test_a_count_dated_after_the_moment_is_not_used(session: Session, strategy: Entity) -> None:
    two_days_before = service.mnav(session, strategy, at=end_of("2023-12-29"))
    assert inputs_of(two_days_before, "basic")["basic_shares"] == 145_070_250
    basic = two_days_before.value_of("basic")
    assert basic is not None
    assert round(basic, 2) == Decimal("1.15")


def test_the_share_count_is_the_one_that_strategy_values_itself_with(
    session: Session, strategy: Entity
) -> None:
    # Its own page of 2024-12-31: market capitalisation over close gives 245.778 million shares.
    found = service.mnav(session, strategy, at=end_of("2024-12-31"))
    assert round(inputs_of(found, "basic")["basic_shares"] / 1000) == 245_778


def test_no_input_is_ever_dated_after_its_valuation(session: Session, strategy: Entity) -> None:
    for row in service.history(session, strategy, None, date(2026, 3, 1)):
        for definition in row.definitions:
            for given in definition.inputs:
                day = given.as_of.date() if isinstance(given.as_of, datetime) else given.as_of
                assert day <= row.as_of.date()
                assert given.carried_days == (row.as_of.date() - day).days


def test_the_split_of_august_2024_makes_no_jump(session: Session, strategy: Entity) -> None:
    rows = service.history(session, strategy, date(2024, 7, 25), date(2024, 8, 25))
    values = {row.as_of.date(): row.value_of("basic") for row in rows}
    before, after = values[date(2024, 8, 7)], values[date(2024, 8, 8)]
    assert before is not None
    assert after is not None
    assert abs(after / before - 1) < Decimal("0.05")
    found = [value for value in values.values() if value is not None]
    assert len(found) == len(rows) == 22
    for one, next_one in pairwise(found):
        assert Decimal("0.8") < next_one / one < Decimal("1.25")


def test_history_has_a_row_a_trading_day_and_every_gap_has_a_reason(
    session: Session, strategy: Entity
) -> None:
    rows = service.history(session, strategy, None, date(2026, 11, 1))
    assert [row.as_of.date() for row in rows] == sorted({row.as_of.date() for row in rows})
    assert rows[0].as_of.date() == date(2021, 3, 31)  # before that only Class A was counted
    assert rows[-1].as_of.date() == date(2026, 2, 5)
    assert all(row.as_of.weekday() < 5 for row in rows)
    for row in rows:
        for found in row.definitions:
            assert (found.value is None) == bool(found.missing)
    first = {found.id: found for found in rows[0].definitions}
    assert "preferred: unknown" in first["ev"].missing


def test_history_of_a_period_is_the_same_rows(session: Session, strategy: Entity) -> None:
    whole = service.history(session, strategy, None, date(2026, 3, 1))
    part = service.history(session, strategy, date(2025, 1, 1), date(2025, 6, 30))
    assert part == [
        row for row in whole if date(2025, 1, 1) <= row.as_of.date() <= date(2025, 6, 30)
    ]
    with pytest.raises(InputError, match="ends before"):
        service.history(session, strategy, date(2025, 1, 2), date(2025, 1, 1))


def test_history_and_a_single_moment_agree(session: Session, strategy: Entity) -> None:
    (row,) = service.history(session, strategy, date(2025, 6, 2), date(2025, 6, 2))
    single = service.mnav(session, strategy, at=row.as_of)
    assert single == row


def test_who_has_a_value_in_the_bundle(session: Session) -> None:
    found: dict[str, set[str]] = {"basic": set(), "ev": set()}
    counted = entities_by_id(session, repository.counted_entities(session))
    for entity in counted.values():
        rows = service.history(session, entity, None, date(2026, 11, 1))
        for name, slugs in found.items():
            if any(row.value_of(name) is not None for row in rows):
                slugs.add(entity.slug)
    print("basic:", sorted(found["basic"]), "ev:", sorted(found["ev"]))
    assert found == {"basic": BASIC, "ev": WITH_EV}


def test_metaplanet_is_converted_from_yen_once(session: Session) -> None:
    found = service.mnav(session, get_entity(session, "metaplanet"), at=end_of("2026-02-06"))
    inputs = inputs_of(found, "basic")
    assert Decimal("0.006") < inputs["fx"] < Decimal("0.007")
    value = inputs["price"] * inputs["fx"] * inputs["basic_shares"]
    nav = inputs["holdings.BTC"] * inputs["coin_prices.BTC"]
    basic = found.value_of("basic")
    assert basic is not None
    assert abs(basic - value / nav) < Decimal("1e-12")
    assert Decimal("0.5") < basic < Decimal(2)


def test_both_coins_of_a_holder_count_and_staked_ones_are_not_added(session: Session) -> None:
    found = service.mnav(session, get_entity(session, "bitmine"), at=end_of("2026-02-05"))
    inputs = inputs_of(found, "basic")
    assert inputs["holdings.ETH"] > 4_000_000
    assert inputs["holdings.BTC"] > 0
    assert not [name for name in inputs if "staked" in name.lower()]


# -- moments without prices ----------------------------------------------------------------------


def test_without_fresh_quotes_the_newest_whole_moment_is_valued_and_called_stale(
    session: Session, strategy: Entity
) -> None:
    found = service.mnav(session, strategy, at=FIRST_START)
    assert found.asked == FIRST_START
    assert found.as_of == end_of("2026-02-05")
    assert found.quote_state is QuoteState.STALE
    assert found.value_of("ev") == service.mnav(session, strategy, at=found.as_of).value_of("ev")
    assert found.quote_age == FIRST_START - found.as_of


def test_a_rule_gets_no_older_moment_than_it_asked_for(session: Session, strategy: Entity) -> None:
    found = service.mnav(session, strategy, at=FIRST_START, fall_back=False)
    assert found.as_of == FIRST_START
    assert found.value_of("basic") is None
    missing = {row.id: row.missing for row in found.definitions}["basic"]
    assert any(reason.startswith("price: stale: 287 days > 5") for reason in missing)


def test_a_holder_without_a_share_price_says_so(session: Session) -> None:
    found = service.mnav(session, get_entity(session, "tesla"), at=FIRST_START)
    assert found.quote_state is None
    assert found.reason == "no price of the share is known"
    assert found.value_of("basic") is None


def test_a_holiday_is_bridged_and_marked(session: Session, strategy: Entity) -> None:
    found = service.mnav(session, strategy, at=datetime(2025, 1, 20, 12, tzinfo=UTC))  # a Monday
    (basic,) = [row for row in found.definitions if row.id == "basic"]
    price = next(given for given in basic.inputs if given.name == "price")
    assert found.quote_state is QuoteState.CLOSED
    assert (price.carried, price.carried_days) == (True, 3)


def live(subject: str, price: str, at: datetime, state: QuoteState = QuoteState.OPEN) -> Quote:
    return Quote(subject, Money(Decimal(price), "USD"), at, state, "test", at.date())


def with_live_quotes(session: Session, at: datetime) -> None:
    record_price(session, "live", live("strategy", "150", at), at)
    record_price(session, "live", replace(live("BTC", "80000", at), basis_date=None), at)


def test_live_quotes_are_used_while_they_are_fresh(session: Session, strategy: Entity) -> None:
    now = FIRST_START
    with_live_quotes(session, now - timedelta(minutes=1))
    found = service.mnav(session, strategy, at=now)
    assert found.as_of == now
    assert found.quote_state is QuoteState.OPEN
    assert inputs_of(found, "basic")["price"] == 150
    assert service.mnav(session, strategy, at=now + timedelta(hours=2)).quote_state is (
        QuoteState.STALE
    )
    assert service.mnav(session, strategy, at=now + timedelta(days=30)).as_of == (
        now - timedelta(minutes=1)
    )


def test_a_live_quote_of_after_a_reverse_split_meets_a_count_on_its_basis(session: Session) -> None:
    nakamoto = get_entity(session, "nakamoto")
    at = datetime(2026, 6, 1, 15, tzinfo=UTC)
    record_price(session, "live", live("nakamoto", "12", at), at)
    record_price(session, "live", replace(live("BTC", "80000", at), basis_date=None), at)
    (basic,) = [
        row for row in service.mnav(session, nakamoto, at=at).definitions if row.id == "basic"
    ]
    shares = next(given for given in basic.inputs if given.name == "basic_shares")
    assert shares.value == Decimal(688_942_624) / 40
    assert shares.note is not None
    assert "1/40" in shares.note


# -- lists, belief, contract ---------------------------------------------------------------------


def test_headlines_come_in_few_queries_and_equal_the_single_valuations(
    world: Database, session: Session
) -> None:
    entities = list_entities(session, kind="dat", enabled=None)
    assert len(entities) > 150
    statements: list[str] = []

    def count(*args: object) -> None:
        statements.append(str(args[2]))

    event.listen(world.engine, "before_cursor_execute", count)
    try:
        found = service.headline(session, entities, at=FIRST_START)
    finally:
        event.remove(world.engine, "before_cursor_execute", count)
    assert len(statements) <= 6
    by_slug = {entity.slug: found[entity.id] for entity in entities if entity.id in found}
    assert set(by_slug) == BASIC
    assert {slug for slug, headline in by_slug.items() if headline.id == "ev"} == WITH_EV
    for slug, headline in by_slug.items():
        single = service.mnav(session, get_entity(session, slug), at=FIRST_START)
        assert headline.value == single.value_of(headline.id)
        assert headline.as_of == single.as_of


def test_what_was_believed_before_a_correction_can_be_asked(
    session: Session, strategy: Entity
) -> None:
    assert strategy.id is not None
    corrected = FIRST_START + timedelta(days=1)
    repository.add_disclosure(
        session,
        Disclosure(
            entity_id=strategy.id,
            as_of=date(2026, 2, 3),
            asset="BTC",
            kind="total",
            amount=1_000_000 * 10**8,
            evidence="primary",
            source="a later filing",
            owner="operator",
            first_seen=corrected,
            recorded_at=corrected,
        ),
    )
    at = end_of("2026-02-05")
    now = service.mnav(session, strategy, at=at)
    then = service.mnav(session, strategy, at=at, known_at=FIRST_START)
    before_anything = service.mnav(
        session, strategy, at=at, known_at=FIRST_START - timedelta(days=1)
    )
    assert inputs_of(now, "basic")["holdings.BTC"] == 1_000_000
    assert inputs_of(then, "basic")["holdings.BTC"] == 713_502
    assert before_anything.value_of("basic") is None


def test_an_unknown_basis_is_refused(session: Session, strategy: Entity) -> None:
    with pytest.raises(InputError, match="holdings basis"):
        service.mnav(session, strategy, at=FIRST_START, basis="guessed")


def test_the_contracts_shape(session: Session, strategy: Entity) -> None:
    shown = contract.as_contract(service.mnav(session, strategy, at=FIRST_START))
    assert json.loads(json.dumps(shown)) == shown
    assert {"entity", "as_of", "quote_state", "basis", "definitions"} <= set(shown)
    assert shown["as_of"] == "2026-02-05T23:59:59Z"
    assert shown["quote_state"] == "stale"
    definitions = {row["id"]: row for row in shown["definitions"]}
    assert list(definitions) == [
        "basic", "ev", "net", "premium_per_share", "base_units_per_share",
    ]  # fmt: skip
    for row in definitions.values():
        assert {"id", "value", "unit", "inputs", "missing"} <= set(row)
        assert "E" not in row["value"]
        for given in row["inputs"]:
            assert {"name", "value", "unit", "as_of", "source"} <= set(given)
            assert isinstance(given["value"], str)
            assert given["source"]
    shares = next(row for row in definitions["ev"]["inputs"] if row["name"] == "debt")
    assert (shares["as_of"], shares["carried"]) == ("2025-12-31", True)
