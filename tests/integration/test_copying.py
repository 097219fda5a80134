"""Rows by COPY: what went in is what comes out, or nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from tracker.db import Database
from tracker.db.copying import copy_rows
from tracker.db.facts import Disclosure, Price
from tracker.db.registry import Entity, Label, LabelPack
from tracker.domain.entity import Tier

T0 = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url)
    yield database
    database.dispose()


def a_price(**other: Any) -> dict[str, Any]:
    return {
        "kind": "close", "subject": "BTC", "at": T0, "value": Decimal("0.000000000001"),
        "currency": "USD", "basis_date": date(2026, 11, 1), "state": "closed",
        "source": "https://a.example", "recorded_at": T0, **other,
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["tab\there", "two\nlines", "back\\slash \\N \\.", "\\N", "\\.", "", "é 比 \u00a0", "\r\n"],
)
def test_texts_and_bytes_come_back_as_they_went(database: Database, name: str) -> None:
    with database.transaction() as session:
        pack = LabelPack(name="p", title="P", recorded_at=T0)
        session.add(pack)
        session.flush()
        row = {
            "chain": "bitcoin", "address": "a", "key": bytes(range(256)), "name": name,
            "category": "exchange", "tier": Tier.VENDOR, "pack_id": pack.id, "vendor": True,
            "source": None, "recorded_at": T0,
        }  # fmt: skip
        copy_rows(session, Label, [row])
        found = session.exec(select(Label)).one()
    assert {field: getattr(found, field) for field in row} == row


def test_numbers_and_times_are_exact(database: Database) -> None:
    east = datetime(2026, 11, 1, 9, 30, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
    with database.transaction() as session:
        copy_rows(session, Price, [a_price(at=east)])
        found = session.exec(select(Price)).one()
    assert (found.at, found.value) == (east, Decimal("0.000000000001"))
    assert found.basis_date == date(2026, 11, 1)


def test_an_amount_as_wide_as_a_uint256_keeps_every_digit(database: Database) -> None:
    with database.transaction() as session:
        entity = Entity(slug="a", name="A", kind="dat", role="holder", recorded_at=T0)
        session.add(entity)
        row = {
            "as_of": T0.date(), "asset": "ETH", "kind": "total", "amount": 2**256 - 1,
            "measure": "total", "currency": "USD", "evidence": "primary", "source": "s",
            "owner": "bundled", "first_seen": T0, "recorded_at": T0,
        }  # fmt: skip
        session.flush()
        copy_rows(session, Disclosure, [row | {"entity_id": entity.id}])
        assert session.exec(select(Disclosure.amount)).one() == 2**256 - 1


@pytest.mark.parametrize("wrong", [{"at": datetime(2026, 11, 1)}, {"value": 0.1}])  # noqa: DTZ001
def test_what_the_column_does_not_take_is_refused(
    database: Database, wrong: dict[str, Any]
) -> None:
    with pytest.raises(TypeError), database.transaction() as session:
        copy_rows(session, Price, [a_price(), a_price(**wrong)])
    with database.transaction() as session:
        assert session.exec(select(Price)).all() == []


def test_a_row_that_is_there_already_fails_the_whole(database: Database) -> None:
    rows = [a_price(subject=f"N{number}") for number in range(5_000)]
    with database.transaction() as session:
        copy_rows(session, Price, rows[:1])
    with pytest.raises(IntegrityError), database.transaction() as session:
        copy_rows(session, Price, rows)
    with database.transaction() as session:
        assert len(session.exec(select(Price)).all()) == 1
