"""The registry's queries against a real database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session

from tracker.db import Database
from tracker.db.registry import Label, LabelPack
from tracker.domain.entity import Category, Kind, Tier
from tracker.errors import NotFoundError
from tracker.registry import entities, repository, wallets

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ADDRESS = "1FsSia9rv4NeEwvJ2GvXrX7LyxYspbN2mo"
KEY = b"k" * 20


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url)
    with database.transaction() as session:
        entities.add(
            session, slug="strategy", name="Strategy Inc", kind="dat", ticker="MSTR", now=NOW
        )
        entities.add(session, slug="strive", name="Strive", kind="dat", ticker="ASST", now=NOW)
        entities.add(session, slug="fund", name="Fund", kind="private", enabled=False, now=NOW)
        entities.add(session, slug="bourse", name="Bourse", kind="exchange", now=NOW)
    yield database
    database.dispose()


@pytest.mark.parametrize(
    ("asked", "mend"),
    [
        ("MSTR", "did you mean strategy?"),
        ("stratgy", "did you mean strategy?"),
        ("Strategy Inc", "did you mean strategy?"),
        ("zzzzzz", "tracker entities"),
    ],
)
def test_an_unknown_slug_brings_near_ones(database: Database, asked: str, mend: str) -> None:
    with database.transaction() as session, pytest.raises(NotFoundError) as caught:
        repository.get_entity(session, asked)
    assert caught.value.value == asked
    assert caught.value.mend is not None
    assert mend in caught.value.mend


def test_lists_filter_by_kind_role_and_switch(database: Database) -> None:
    with database.transaction() as session:

        def slugs(**filters: object) -> list[str]:
            return [each.slug for each in repository.list_entities(session, **filters)]  # type: ignore[arg-type]

        assert slugs() == ["bourse", "strategy", "strive"]
        assert slugs(enabled=None) == ["bourse", "fund", "strategy", "strive"]
        assert slugs(enabled=False) == ["fund"]
        assert slugs(kind=Kind.DAT) == ["strategy", "strive"]
        assert slugs(role="venue") == ["bourse"]
        ids = [each.id for each in repository.list_entities(session) if each.id]
        assert set(repository.entities_by_id(session, [*ids, 999_999])) == set(ids)


def test_only_open_wallets_of_enabled_holders_are_watched(database: Database) -> None:
    with database.transaction() as session:
        for entity, address in (
            ("strategy", ADDRESS),
            ("fund", "36j4NfKv6Akva9amjWrLG6MuSQym1GuEmm"),
        ):
            wallets.add(session, entity=entity, chain="bitcoin", address=address, now=NOW)
    with database.transaction() as session:
        version, [wallet] = repository.watched(session, "bitcoin")
        assert (version, wallet.entity_slug, wallet.tier) == (2, "strategy", Tier.USER)
        strategy = repository.get_entity(session, "strategy").id
        assert strategy is not None
        assert repository.holders_for(session, "bitcoin", [wallet.key, KEY]) == {wallet.key: wallet}
        assert repository.holders_for(session, "ethereum", [wallet.key]) == {}
        wallets.remove(session, chain="bitcoin", address=ADDRESS, now=NOW)
        assert repository.watched(session, "bitcoin") == (3, [])
        assert repository.wallets_of(session, strategy) == []
        [closed] = repository.wallets_of(session, strategy, include_closed=True)
        assert closed.closed_at == NOW


def test_a_bump_waits_for_a_block_that_is_being_applied(database: Database) -> None:
    with database.transaction() as session:
        assert repository.lock_watch_set(session, "bitcoin") == 0
    bumped = threading.Event()

    def bump() -> None:
        with database.transaction() as session:
            repository.bump_watch_set(session, "bitcoin")
        bumped.set()

    with database.transaction() as session:
        assert repository.lock_watch_set(session, "bitcoin") == 0
        thread = threading.Thread(target=bump)
        thread.start()
        assert not bumped.wait(0.3)
        with database.transaction() as other:  # a second block scan shares the lock
            assert repository.lock_watch_set(other, "ethereum") == 0
    thread.join(10)
    assert bumped.is_set()
    with database.transaction() as session:
        assert repository.lock_watch_set(session, "bitcoin") == 1


def label(session: Session, pack: str, **values: object) -> None:
    row = {
        "chain": "bitcoin", "address": "a", "key": KEY, "name": "N", "category": Category.EXCHANGE,
        "tier": Tier.VENDOR, "recorded_at": NOW,
    }  # fmt: skip
    stored = LabelPack(name=pack, title=pack, recorded_at=NOW)
    session.add(stored)
    session.flush()
    session.add(Label(**{**row, **values, "pack_id": stored.id}))  # type: ignore[arg-type]
    session.flush()


def best(session: Session) -> str:
    return repository.labels_for(session, "bitcoin", [KEY, b"other"])[KEY].name


def test_the_best_label_is_of_the_better_tier_then_more_sources_then_newer(
    database: Database,
) -> None:
    with database.transaction() as session:
        assert repository.labels_for(session, "bitcoin", [KEY]) == {}
        assert repository.labels_for(session, "bitcoin", []) == {}
        label(session, "a", name="Old", dated=NOW - timedelta(days=9))
        label(session, "b", name="New", dated=NOW)
        assert best(session) == "New"
        label(session, "c", name="old", source="https://second")  # the same name in another case
        assert best(session) == "Old"
        label(session, "d", name="Sure", tier=Tier.ATTESTED, category=Category.CUSTODIAN)
        assert best(session) == "Sure"
        label(session, "e", name="Gone", tier=Tier.PROVED, closed_at=NOW)
        assert best(session) == "Sure"


def test_labels_of_one_entity_stand_together_whatever_they_call_it(database: Database) -> None:
    with database.transaction() as session:
        bourse = repository.get_entity(session, "bourse").id
        label(session, "a", name="Alpha", dated=NOW)
        label(session, "b", name="Bourse 1", entity_id=bourse)
        label(session, "c", name="Bourse hot", entity_id=bourse)
        found = repository.labels_for(session, "bitcoin", [KEY])[KEY]
        assert (found.name, found.entity_slug) == ("Bourse 1", "bourse")


def test_more_keys_than_a_statement_has_parameters_fit_one_question(database: Database) -> None:
    keys = [number.to_bytes(20) for number in range(66_000)]
    with database.transaction() as session:
        assert repository.holders_for(session, "bitcoin", keys) == {}
        assert repository.labels_for(session, "bitcoin", keys) == {}
