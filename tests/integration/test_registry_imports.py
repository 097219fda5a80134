"""Adding and importing entities and wallets: good rows land, bad rows are named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlmodel import Session, select

from tracker.db import Database
from tracker.db.chain import Cursor
from tracker.db.registry import Entity, Wallet
from tracker.errors import AddressError, ConflictError, InputError, NotFoundError
from tracker.registry import entities, records, repository, wallets

NOW = datetime(2026, 11, 1, tzinfo=UTC)
FIRST = "1FsSia9rv4NeEwvJ2GvXrX7LyxYspbN2mo"
SECOND = "36j4NfKv6Akva9amjWrLG6MuSQym1GuEmm"
SAFE = "0xd19d4B5d358258f05D7B411E21A1460D11B0876F"


@pytest.fixture
def session(postgres_url: str) -> Iterator[Session]:
    database = Database(postgres_url)
    with database.transaction() as session:
        entities.add(session, slug="acme", name="Acme", kind="dat", now=NOW)
        entities.add(session, slug="other", name="Other", kind="sovereign", now=NOW)
        entities.add(session, slug="bourse", name="Bourse", kind="exchange", now=NOW)
        yield session
    database.dispose()


def test_an_entity_is_checked_field_by_field(session: Session) -> None:
    added = entities.add(
        session, slug="new-co", name="New Co", kind="dat", treasury_class="pure", country="US",
        ticker="NEW", exchange_mic="XNAS", currency="USD", cik="1050446",
        website="https://new.example", now=NOW,
    )  # fmt: skip
    assert (added.role, added.cik, added.owner) == ("holder", "0001050446", "operator")
    with pytest.raises(ConflictError, match="slug"):
        entities.add(session, slug="new-co", name="Again", kind="dat", now=NOW)


WRONG = (
    ("slug", "Not A Slug"),
    ("slug", "a--b"),
    ("slug", "import"),
    ("slug", "x" * 65),
    ("name", ""),
    ("name", "x" * 201),
    ("kind", "treasury"),
    ("role", "venue"),
    ("treasury_class", "rich"),
    ("country", "USA"),
    ("ticker", "no ticker"),
    ("currency", "usd"),
    ("cik", "CIK1"),
    ("website", "https://user:pass@host"),
    ("website", "javascript:alert(1)"),
    ("enabled", "perhaps"),
)


def test_a_field_of_another_form_is_named(session: Session) -> None:
    for field, value in WRONG:
        with pytest.raises(InputError) as caught:
            entities.add(
                session, now=NOW, **{"slug": "new", "name": "New", "kind": "dat", field: value}
            )
        assert caught.value.field == field
        assert caught.value.mend
    assert repository.find_entity(session, "new") is None


def test_entities_land_row_by_row(session: Session) -> None:
    data = b"""slug,name,kind,treasury_class
fresh,Fresh,dat,miner
acme,Acme,dat,
acme,Another,dat,
fresh,Twice,dat,
state,State,sovereign,pure
,Nameless,dat,
"""
    rows = records.read(data, "csv", entities.COLUMNS)
    tried = entities.import_rows(session, rows, NOW, dry_run=True)
    assert repository.find_entity(session, "fresh") is None
    done = entities.import_rows(session, rows, NOW)
    assert (done.accepted, done.unchanged) == (tried.accepted, tried.unchanged) == (1, 1)
    assert done.rejected == tried.rejected
    assert [(error.row, error.field) for error in done.rejected] == [
        (4, "slug"),
        (5, "slug"),
        (6, "treasury_class"),
        (7, "slug"),
    ]
    assert repository.get_entity(session, "fresh").treasury_class == "miner"
    again = entities.import_rows(session, rows, NOW)
    assert (again.accepted, again.unchanged) == (0, 2)


def test_a_wallet_begins_at_the_block_after_the_cursor(session: Session) -> None:
    before = wallets.add(session, entity="acme", chain="bitcoin", address=FIRST, now=NOW)
    assert (before.active_from_height, before.opening_known) == (None, False)
    session.add(Cursor(chain="bitcoin", height=870_000, hash=b"h", tip_advanced_at=NOW))
    after = wallets.add(
        session, entity="acme", chain="bitcoin", address=SECOND, now=NOW, role="cold",
        tier="operator_verified", note="from the auditor", valid_from="2024-01-01",
    )  # fmt: skip
    assert (after.active_from_height, after.role, after.tier) == (
        870_001,
        "cold",
        "operator_verified",
    )
    assert after.valid_from == datetime(2024, 1, 1, tzinfo=UTC)
    assert repository.watched(session, "bitcoin")[0] == 2


def test_a_bad_wallet_is_refused_and_nothing_is_written(session: Session) -> None:
    good = {"entity": "acme", "chain": "bitcoin", "address": FIRST}
    for wrong, error in (
        ({"entity": "acmee"}, NotFoundError),
        ({"entity": "bourse"}, InputError),
        ({"chain": "solana"}, InputError),
        ({"address": FIRST[:-1] + "p"}, AddressError),
        ({"address": "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"}, AddressError),
        ({"chain": "ethereum", "address": "0x" + "0" * 40}, AddressError),
        ({"tier": "certain"}, InputError),
        ({"role": "hoard"}, InputError),
        ({"valid_from": "2026-01-02", "valid_to": "2026-01-01"}, InputError),
    ):
        with pytest.raises(error) as caught:
            wallets.add(session, now=NOW, **{**good, **wrong})
        assert caught.value.field in (*wrong, "entity")
        assert caught.value.mend
    assert session.exec(select(Wallet)).all() == []
    assert repository.watched(session, "bitcoin") == (0, [])


def test_an_address_that_is_taken_names_its_owner(session: Session) -> None:
    wallets.add(session, entity="other", chain="ethereum", address=SAFE, now=NOW)
    with pytest.raises(ConflictError, match="wallet of other"):
        wallets.add(session, entity="acme", chain="ethereum", address=SAFE.lower(), now=NOW)
    with pytest.raises(ConflictError, match="other has this address already"):
        wallets.add(session, entity="other", chain="ethereum", address=SAFE, now=NOW)


def test_wallets_land_row_by_row(session: Session) -> None:
    wallets.add(session, entity="other", chain="ethereum", address=SAFE, now=NOW)
    data = f"""entity,chain,address,role,tier
acme,bitcoin,{FIRST},cold,vendor
acme,bitcoin,{FIRST},cold,vendor
acme,ethereum,{SAFE},,
nobody,bitcoin,{SECOND},,
acme,bitcoin,{SECOND[:-1]},,
other,ethereum,{SAFE.lower()},,
""".encode()
    rows = records.read(data, "csv", wallets.COLUMNS)
    tried = wallets.import_rows(session, rows, NOW, dry_run=True)
    assert repository.watched(session, "bitcoin") == (0, [])
    done = wallets.import_rows(session, rows, NOW)
    assert (done.accepted, done.unchanged, tried.accepted) == (1, 0, 1)
    assert done.rejected == tried.rejected
    assert [(error.row, error.field) for error in done.rejected] == [
        (3, "address"),
        (4, "address"),
        (5, "entity"),
        (6, "address"),
        (7, "address"),
    ]
    assert "wallet of other" in done.rejected[1].message
    version, [wallet] = repository.watched(session, "bitcoin")
    assert (version, wallet.role) == (1, "cold")
    again = wallets.import_rows(session, rows, NOW)
    assert (again.accepted, again.unchanged) == (0, 1)
    assert repository.watched(session, "bitcoin")[0] == 1


def test_a_removed_wallet_can_be_found_but_is_not_watched(session: Session) -> None:
    added = wallets.add(session, entity="acme", chain="bitcoin", address=FIRST, now=NOW)
    removal = wallets.remove(session, chain="bitcoin", address=FIRST, now=NOW)
    assert [closed.wallet_id for closed in removal.wallets] == [added.id]
    assert repository.watched(session, "bitcoin") == (2, [])
    with pytest.raises(NotFoundError, match="no wallet"):
        wallets.remove(session, chain="bitcoin", address=FIRST, now=NOW)


def test_an_entity_that_was_off_starts_anew_when_it_is_on_again(session: Session) -> None:
    wallets.add(session, entity="acme", chain="bitcoin", address=FIRST, now=NOW)
    entities.set_enabled(session, "acme", enabled=False, now=NOW)
    assert repository.watched(session, "bitcoin") == (2, [])
    session.add(Cursor(chain="bitcoin", height=500, hash=b"h", tip_advanced_at=NOW))
    entities.set_enabled(session, "acme", enabled=True, now=NOW)
    version, [wallet] = repository.watched(session, "bitcoin")
    # Blocks up to 500 were applied without it: what it had then is unknown.
    assert (version, wallet.active_from_height) == (3, 501)
    entities.set_enabled(session, "acme", enabled=True, now=NOW)
    assert repository.watched(session, "bitcoin")[0] == 3
    assert session.exec(select(Entity).where(Entity.slug == "acme")).one().enabled
