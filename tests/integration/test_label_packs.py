"""Label packs: in, out, replaced and removed as one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session, select

from tracker.chains.address import parse
from tracker.db import Database
from tracker.db.registry import Label, Wallet
from tracker.domain.entity import Tier
from tracker.errors import ConflictError, InputError, NotFoundError
from tracker.registry import entities, labels, repository, wallets
from tracker.registry.packs import repository as pack_rows

NOW = datetime(2026, 11, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
FIRST = "1FsSia9rv4NeEwvJ2GvXrX7LyxYspbN2mo"
SECOND = "36j4NfKv6Akva9amjWrLG6MuSQym1GuEmm"
SAFE = "0xd19d4B5d358258f05D7B411E21A1460D11B0876F"

PACK = f"""# pack: my-labels
# title: My labels
# creator: The desk
# licence: CC0-1.0
# redistributable: yes
chain,address,name,category,tier,source,entity,role,date,vendor
bitcoin,{FIRST},Bourse 7,exchange_deposit,attested,https://b.example,bourse,,2026-01-31,no
ethereum,{SAFE.lower()},Acme Safe,,operator_verified,a call,acme,multisig,,
bitcoin,{SECOND},"A ""quoted"", name",,,,,,,
""".encode()


@pytest.fixture
def session(postgres_url: str) -> Iterator[Session]:
    database = Database(postgres_url)
    with database.transaction() as session:
        entities.add(session, slug="acme", name="Acme", kind="dat", now=NOW)
        entities.add(session, slug="other", name="Other", kind="dat", now=NOW)
        entities.add(session, slug="bourse", name="Bourse", kind="exchange", now=NOW)
        yield session
    database.dispose()


def test_a_pack_brings_labels_and_wallets(session: Session) -> None:
    report = labels.import_pack(session, PACK, "csv", NOW)
    assert (report.pack, report.accepted, report.rejected) == ("my-labels", 3, ())
    key = parse("bitcoin", FIRST).key
    label = repository.labels_for(session, "bitcoin", [key])[key]
    assert (label.name, label.category, label.tier) == ("Bourse 7", "exchange_deposit", "attested")
    assert label.entity_slug == "bourse"
    _, [wallet] = repository.watched(session, "ethereum")
    assert (wallet.entity_slug, wallet.role, wallet.tier) == (
        "acme",
        "multisig",
        Tier.OPERATOR_VERIFIED,
    )
    [summary] = pack_rows.list_packs(session)
    assert (summary.labels, summary.wallets) == (2, 1)
    assert (summary.pack.licence, summary.pack.redistributable) == ("CC0-1.0", True)


def test_the_same_pack_again_changes_nothing_and_a_newer_one_replaces_it(session: Session) -> None:
    labels.import_pack(session, PACK, "csv", NOW)
    again = labels.import_pack(session, PACK, "csv", LATER)
    assert (again.accepted, again.unchanged) == (0, 3)
    assert repository.watched(session, "ethereum")[0] == 1
    newer = PACK.replace(b"Bourse 7", b"Bourse 8")
    newer = b"".join(line for line in newer.splitlines(True) if not line.startswith(b"ethereum"))
    report = labels.import_pack(session, newer, "csv", LATER)
    assert (report.accepted, report.unchanged) == (1, 1)
    assert [closed.address for closed in report.removal.wallets] == [SAFE]
    assert [closed.address for closed in report.removal.labels] == [FIRST]
    assert repository.watched(session, "ethereum") == (2, [])
    old = session.exec(select(Label).where(Label.name == "Bourse 7")).one()
    assert (old.recorded_at, old.closed_at) == (NOW, LATER)


def test_what_is_exported_is_read_back_as_it_was(session: Session) -> None:
    labels.import_pack(session, PACK, "csv", NOW)
    out = labels.export_pack(session, "my-labels")
    assert b"# licence: CC0-1.0\n" in out
    report = labels.import_pack(session, out, "csv", LATER)
    assert (report.accepted, report.unchanged, report.rejected) == (0, 3, ())
    assert labels.export_pack(session, "my-labels") == out


def test_a_pack_that_may_not_be_handed_on_is_not_exported_unasked(session: Session) -> None:
    labels.import_pack(session, PACK, "csv", NOW, redistributable=False, licence="vendor terms")
    with pytest.raises(ConflictError, match="vendor terms"):
        labels.export_pack(session, "my-labels")
    assert labels.export_pack(session, "my-labels", even_if_restricted=True)


def test_removing_a_pack_takes_all_of_it_and_nothing_else(session: Session) -> None:
    labels.import_pack(session, PACK, "csv", NOW)
    mine = wallets.add(
        session,
        entity="acme",
        chain="bitcoin",
        now=NOW,
        address="1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
    )
    removal = labels.remove_pack(session, "my-labels", LATER)
    assert {closed.address for closed in removal.labels} == {FIRST, SECOND}
    [gone] = removal.wallets
    assert gone.key == parse("ethereum", SAFE).key
    assert session.get(Wallet, gone.wallet_id).closed_at == LATER  # type: ignore[union-attr]
    assert repository.watched(session, "ethereum") == (2, [])
    assert [each.wallet_id for each in repository.watched(session, "bitcoin")[1]] == [mine.id]
    assert pack_rows.list_packs(session) == []
    for again in (labels.remove_pack, lambda *args: labels.export_pack(*args[:2])):
        with pytest.raises(NotFoundError, match="the packs are: none"):
            again(session, "my-labels", LATER)
    # The name is free again, for anybody.
    other = PACK.replace(b"The desk", b"Somebody else")
    assert labels.import_pack(session, other, "csv", LATER).accepted == 3


def test_bad_rows_are_named_and_the_good_ones_land(session: Session) -> None:
    wallets.add(session, entity="other", chain="ethereum", address=SAFE, now=NOW)
    data = f"""chain,address,name,category,tier,entity,role,date
bitcoin,{FIRST},Good,exchange,,,,
bitcoin,{FIRST},Good,exchange,,,,
bitcoin,{FIRST[:-1]}p,Bad checksum,,,,,
bitcoin,{SECOND},No such entity,,,nobody,,
bitcoin,{SECOND},Future,,,,,2030-01-01
bitcoin,{SECOND},Bad category,shop,,,,
bitcoin,{SECOND},,,,,,
bitcoin,{SECOND},A venue's wallet,,,bourse,cold,
ethereum,{SAFE},Taken,,,acme,cold,
bitcoin,{SECOND},short
""".encode()
    report = labels.import_pack(session, data, "csv", NOW, name="p")
    assert report.accepted == 1
    assert [(error.row, error.field) for error in report.rejected] == [
        (3, "address"),
        (4, "address"),
        (5, "entity"),
        (6, "date"),
        (7, "category"),
        (8, "name"),
        (9, "entity"),
        (10, "address"),
        (11, "row"),
    ]
    assert "wallet of other" in report.rejected[7].message
    assert all(error.mend for error in report.rejected)


def test_a_file_without_one_good_row_leaves_the_pack_it_names_alone(session: Session) -> None:
    labels.import_pack(session, PACK, "csv", NOW)
    spoiled = PACK.replace(b"bitcoin", b"btc").replace(b"ethereum", b"eth")
    report = labels.import_pack(session, spoiled, "csv", LATER)
    assert (report.accepted, len(report.rejected)) == (0, 3)
    assert pack_rows.list_packs(session)[0].labels == 2


def test_a_dry_run_writes_nothing(session: Session) -> None:
    report = labels.import_pack(session, PACK, "csv", NOW, dry_run=True)
    assert (report.accepted, report.dry_run) == (3, True)
    assert pack_rows.list_packs(session) == []
    assert session.exec(select(Wallet)).all() == []


def test_names_are_checked_and_not_taken_from_others(session: Session) -> None:
    nameless = PACK.split(b"\n", 1)[1]
    with pytest.raises(InputError, match="not a name for a pack"):
        labels.import_pack(session, nameless, "csv", NOW)
    with pytest.raises(InputError, match="use csv or tagpack"):
        labels.import_pack(session, PACK, "xlsx", NOW)
    for call in (
        lambda: labels.import_pack(session, PACK, "csv", NOW, name="bundled"),
        lambda: labels.remove_pack(session, "bundled", NOW),
    ):
        with pytest.raises(ConflictError, match="bundled"):
            call()
    labels.import_pack(session, PACK, "csv", NOW)
    with pytest.raises(ConflictError, match="by The desk"):
        labels.import_pack(session, PACK.replace(b"The desk", b"Mallory"), "csv", NOW)


def test_a_tagpack_names_a_venue_by_its_actor_but_never_a_holder(session: Session) -> None:
    data = f"""
title: Exchange wallets
creator: Taggers
currency: BTC
confidence: service_data
category: exchange
source: https://t.example
lastmod: 2025-03-04
tags:
  - {{address: {FIRST}, label: Bourse, actor: bourse}}
  - {{address: {SECOND}, label: Acme, actor: acme}}
  - {{address: {SAFE}, label: Bourse, currency: ETH}}
  - {{address: rGeyCsqc6vKXuyTGF39WJxmTRemoV3c97h, label: Bourse, currency: XRP}}
""".encode()
    report = labels.import_pack(session, data, "tagpack", NOW, licence="MIT")
    assert (report.pack, report.accepted) == ("exchange-wallets", 3)
    assert [(error.row, error.value) for error in report.rejected] == [(4, "XRP")]
    key, holder = parse("bitcoin", FIRST).key, parse("bitcoin", SECOND).key
    found = repository.labels_for(session, "bitcoin", [key, holder])
    assert (found[key].entity_slug, found[key].tier) == ("bourse", "vendor")
    assert found[holder].entity_slug is None
    stored = session.exec(select(Label).where(Label.key == key)).one()
    assert (stored.dated, stored.vendor) == (datetime(2025, 3, 4, tzinfo=UTC), True)
    again = labels.import_pack(session, data, "tagpack", LATER, licence="MIT")
    assert (again.accepted, again.unchanged) == (0, 3)
