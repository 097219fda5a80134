"""The bundled registry against a real database: what is written, kept, closed and left alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from tracker.chains.address import parse
from tracker.db import Database
from tracker.db.chain import Cursor
from tracker.db.registry import Entity, Label, Wallet
from tracker.domain.entity import Category, Kind, Role, Tier
from tracker.errors import InputError
from tracker.registry import entities, repository, wallets
from tracker.registry.bundled import BundledCounterparty, BundledEntity, BundledWallet
from tracker.registry.sync import Bundle, sync_registry

T0 = datetime(2026, 11, 1, tzinfo=UTC)
T1 = T0 + timedelta(days=1)
T2 = T0 + timedelta(days=2)

MINER = "15MdAHnkxt9TMC2Rj595hsg8Hnv693pPBB"
SAFE = "0xd19d4B5d358258f05D7B411E21A1460D11B0876F"
VENUE = "3NDzzVxiLBUs1WPvVGRfCYDTAD2Ua2PvW4"


def an_entity(slug: str, kind: Kind, *, enabled: bool = True) -> BundledEntity:
    role = Role.VENUE if kind is Kind.EXCHANGE else Role.HOLDER
    return BundledEntity(
        slug=slug, name=slug.title(), kind=kind, role=role, treasury_class=None, country=None,
        ticker=None, exchange_mic=None, currency=None, cik=None, website=None, enabled=enabled,
        source="https://a.example", note=None,
    )  # fmt: skip


def a_wallet(slug: str, address: str, chain: str = "bitcoin") -> BundledWallet:
    return BundledWallet(slug, chain, address, "treasury", Tier.VENDOR, "https://a.example", None)


SMALL = Bundle(
    (an_entity("acme", Kind.DAT), an_entity("bourse", Kind.EXCHANGE)),
    (a_wallet("acme", MINER), a_wallet("acme", SAFE, "ethereum"), a_wallet("bourse", VENUE)),
    (
        BundledCounterparty(
            "bitcoin", MINER, "Acme pool", Category.MINING_POOL, None, Tier.HEURISTIC, "https://b"
        ),
    ),
)


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url)
    yield database
    database.dispose()


def versions(database: Database) -> tuple[int, int]:
    with database.transaction() as session:
        return (
            repository.watched(session, "bitcoin")[0],
            repository.watched(session, "ethereum")[0],
        )


def test_the_shipped_registry_is_written_once(database: Database) -> None:
    with database.transaction() as session:
        first = sync_registry(session, now=T0)
    assert (first.labels_kept, first.wallets_kept, first.left_to_operator) == (0, 0, 0)
    assert first.labels_opened > 10_000
    with database.transaction() as session:
        again = sync_registry(session, now=T1)
    assert (again.entities_added, again.entities_updated) == (0, 0)
    assert (again.wallets_opened, again.wallets_kept) == (0, first.wallets_opened)
    assert (again.labels_opened, again.labels_kept) == (0, first.labels_opened)
    assert again.removal.labels == again.removal.wallets == ()
    assert versions(database) == (1, 1)
    with database.transaction() as session:
        mara = parse("bitcoin", MINER).key
        holder = repository.holders_for(session, "bitcoin", [mara])[mara]
        assert (holder.entity_slug, holder.role) == ("mara", "mining")
        watched = repository.watched(session, "bitcoin")[1]
        disabled = {entity.slug for entity in repository.list_entities(session, enabled=False)}
        assert disabled
        assert not disabled & {wallet.entity_slug for wallet in watched}
        roles = Counter(
            role for (role,) in session.execute(select(Entity.role).join(Wallet).distinct())
        )
        assert set(roles) == {"holder"}


def test_holders_get_wallets_and_venues_get_labels(database: Database) -> None:
    with database.transaction() as session:
        report = sync_registry(session, now=T0, bundle=SMALL)
    assert (report.wallets_opened, report.labels_opened) == (2, 2)
    with database.transaction() as session:
        venue = parse("bitcoin", VENUE).key
        label = repository.labels_for(session, "bitcoin", [venue])[venue]
        assert (label.name, label.category) == ("Bourse", "exchange")
        assert (label.entity_slug, label.tier) == ("bourse", Tier.VENDOR)
        assert repository.holders_for(session, "bitcoin", [venue]) == {}
        # Both wallet and counterparty: the wallet says whose it is, the label stays as evidence.
        both = parse("bitcoin", MINER).key
        assert repository.holders_for(session, "bitcoin", [both])[both].entity_slug == "acme"
        assert repository.labels_for(session, "bitcoin", [both])[both].name == "Acme pool"


def test_what_left_the_bundle_is_closed_and_only_that(database: Database) -> None:
    with database.transaction() as session:
        sync_registry(session, now=T0, bundle=SMALL)
        entities.add(session, slug="mine", name="Mine", kind="private", now=T0)
        own = wallets.add(
            session, entity="mine", chain="bitcoin", now=T0,
            address="1FsSia9rv4NeEwvJ2GvXrX7LyxYspbN2mo",
        )  # fmt: skip
    assert versions(database) == (2, 1)
    smaller = replace(SMALL, wallets=SMALL.wallets[1:2], counterparties=())
    with database.transaction() as session:
        report = sync_registry(session, now=T1, bundle=smaller)
    assert [(closed.address, closed.chain) for closed in report.removal.wallets] == [
        (MINER, "bitcoin")
    ]
    assert {closed.address for closed in report.removal.labels} == {VENUE, MINER}
    assert versions(database) == (3, 1)
    with database.transaction() as session:
        assert [wallet.wallet_id for wallet in repository.watched(session, "bitcoin")[1]] == [
            own.id
        ]
        gone = session.exec(select(Wallet).where(Wallet.address == MINER)).one()
        assert (gone.recorded_at, gone.closed_at) == (T0, T1)
        past = session.exec(select(Label)).all()
        assert all(label.closed_at == T1 for label in past)


def test_a_changed_description_keeps_the_wallets_place_in_the_scan(database: Database) -> None:
    with database.transaction() as session:
        sync_registry(session, now=T0, bundle=SMALL)
        session.add(Cursor(chain="bitcoin", height=100, hash=b"h", tip_advanced_at=T0))
        sync_registry(session, now=T0, bundle=replace(SMALL, wallets=SMALL.wallets[1:]))
        late = sync_registry(session, now=T0, bundle=SMALL)
        assert late.wallets_opened == 1
    better = replace(SMALL.wallets[0], tier=Tier.ATTESTED)
    changed = replace(SMALL, wallets=(better, *SMALL.wallets[1:]))
    with database.transaction() as session:
        report = sync_registry(session, now=T1, bundle=changed)
    assert (report.wallets_opened, report.removal.wallets) == (1, ())
    with database.transaction() as session:
        _, [wallet] = repository.watched(session, "bitcoin")
        assert (wallet.tier, wallet.active_from_height) == (Tier.ATTESTED, 101)


def test_the_operators_decisions_stand(database: Database) -> None:
    with database.transaction() as session:
        entities.add(session, slug="bourse", name="My own", kind="exchange", now=T0)
        sync_registry(session, now=T0, bundle=SMALL)
    with database.transaction() as session:
        entities.set_enabled(session, "acme", enabled=False, now=T1)
        acme = repository.get_entity(session, "acme")
        acme.rules = {"sell_off": False}
        wallets.remove(session, chain="bitcoin", address=MINER, now=T1)
    renamed = replace(SMALL.entities[0], name="Acme Holdings", enabled=True)
    with database.transaction() as session:
        report = sync_registry(
            session, now=T2, bundle=replace(SMALL, entities=(renamed, SMALL.entities[1]))
        )
    assert (report.entities_updated, report.left_to_operator) == (1, 2)
    assert report.wallets_opened == 0
    with database.transaction() as session:
        acme = repository.get_entity(session, "acme")
        assert (acme.name, acme.enabled, acme.rules) == (
            "Acme Holdings",
            False,
            {"sell_off": False},
        )
        assert repository.get_entity(session, "bourse").name == "My own"
        # What was removed can be brought back by hand, and then stays.
        back = wallets.add(session, entity="acme", chain="bitcoin", address=MINER, now=T2)
        assert sync_registry(session, now=T2, bundle=SMALL).left_to_operator == 2
        assert repository.open_at(session, "bitcoin", [back.key])[back.key].id == back.id


def test_an_entity_that_left_the_bundle_is_named_and_kept(database: Database) -> None:
    with database.transaction() as session:
        sync_registry(session, now=T0, bundle=SMALL)
        report = sync_registry(session, now=T1, bundle=Bundle(SMALL.entities[1:], (), ()))
        assert report.absent == ("acme",)
        assert repository.get_entity(session, "acme").enabled


def test_another_network_gets_the_entities_only_and_says_so(database: Database) -> None:
    with database.transaction() as session:
        report = sync_registry(session, now=T0, network="regtest", bundle=SMALL)
    assert report.entities_added == 2
    assert (report.wallets_opened, report.labels_opened) == (0, 0)
    assert report.note is not None
    assert "regtest" in report.note
    assert versions(database) == (0, 0)


def test_a_venues_reserves_never_become_coins_of_an_operators_holder(database: Database) -> None:
    with database.transaction() as session:
        entities.add(session, slug="bourse", name="Listed Bourse", kind="dat", now=T0)
        sync_registry(session, now=T0, bundle=SMALL)
        key = parse("bitcoin", VENUE).key
        assert repository.holders_for(session, "bitcoin", [key]) == {}
        label = repository.labels_for(session, "bitcoin", [key])[key]
        assert (label.name, label.category, label.entity_slug) == ("Bourse", "exchange", None)


def test_a_bundle_that_names_no_entity_of_its_own_writes_nothing(database: Database) -> None:
    damaged = replace(SMALL, wallets=(a_wallet("ghost", MINER),))
    with pytest.raises(InputError, match="ghost"), database.transaction() as session:
        sync_registry(session, now=T0, bundle=damaged)
    with database.transaction() as session:
        assert repository.list_entities(session, enabled=None) == []
