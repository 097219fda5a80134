"""What a damaged bundled table gets: an error that names the file, the line and the field."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from tracker.errors import InputError
from tracker.facts import bundled as facts
from tracker.registry import bundled as registry
from tracker.registry.table import Row, rows

ENTITY = "acme,Acme,dat,holder,pure,US,ACME,XNAS,USD,0000000001,,true,https://acme.example,"
DISCLOSURE = "acme,2026-01-05,BTC,total,1.5,total,,,,,primary,8-K,,https://acme.example,"
CAPITAL = "acme,2026-01-05,basic_shares,1000,,2026-01-05,true,https://acme.example,"


def row(**cells: str) -> Row:
    return Row("t.csv", 7, cells)


def test_cells_are_parsed_to_their_types() -> None:
    cells = row(
        day="2024-02-29", at="2025-03-03T13:00:09Z", n="0.10", ratio="1/12", flag="false", none=""
    )
    assert cells.day("day") == date(2024, 2, 29)
    assert cells.optional_instant("at") == datetime(2025, 3, 3, 13, 0, 9, tzinfo=UTC)
    assert cells.decimal("n") == Decimal("0.10")
    assert cells.ratio("ratio") == Fraction(1, 12)
    assert cells.flag("flag") is False
    assert cells.optional("none") is None
    assert cells.optional_day("none") is None
    assert cells.optional_instant("none") is None
    assert cells.optional_decimal("none") is None


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("text", ""),
        ("flag", "yes"),
        ("day", "2025-02-29"),
        ("day", "05/01/2026"),
        ("optional_instant", "2025-03-03T08:00:09"),
        ("decimal", "1,000"),
        ("decimal", "-1"),
        ("decimal", "NaN"),
        ("decimal", "Infinity"),
        ("positive", "0"),
        ("ratio", "10"),
        ("ratio", "0/5"),
        ("ratio", "1/-2"),
    ],
)
def test_a_bad_cell_is_named(method: str, value: str) -> None:
    with pytest.raises(InputError) as caught:
        getattr(row(cell=value), method)("cell")
    assert "t.csv, line 7" in caught.value.message
    assert caught.value.field == "cell"
    assert caught.value.mend


def test_a_table_may_be_gzipped(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b'a,b\n1,"x, y"\n'))
    assert [found.cells for found in rows(tmp_path, "t", ("a", "b"))] == [{"a": "1", "b": "x, y"}]


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"a,c\n1,2\n", "header"),
        (b"", "header"),
        (b"a,b\n1\n", "row"),
        (b"a,b\n1,2,3\n", "row"),
        (b'a,b\n1,"2\n', "row"),
        (b"a,b\n1,\xff\n", "file"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, content: bytes, field: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError) as caught:
        list(rows(tmp_path, "t", ("a", "b")))
    assert caught.value.field == field


def test_a_truncated_gzip_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n")[:-4])
    with pytest.raises(InputError) as caught:
        list(rows(tmp_path, "t", ("a", "b")))
    assert caught.value.field == "file"


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        list(registry.wallets(tmp_path))
    assert caught.value.value == "wallets.csv"


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("dat,holder", "dat,venue", "role"),
        ("dat,holder", "bank,holder", "kind"),
        ("pure", "rich", "treasury_class"),
        ("dat,holder,pure", "etf,holder,pure", "treasury_class"),
        ("true", "1", "enabled"),
        ("acme,Acme", ",Acme", "slug"),
    ],
)
def test_an_entity_that_contradicts_itself(tmp_path: Path, old: str, new: str, field: str) -> None:
    head = ",".join(registry.ENTITY_COLUMNS)
    (tmp_path / "entities.csv").write_text(f"{head}\n{ENTITY}\n{ENTITY.replace(old, new)}\n")
    found = registry.entities(tmp_path)
    assert next(found).slug == "acme"
    with pytest.raises(InputError) as caught:
        next(found)
    assert caught.value.field == field
    assert "entities.csv, line 3" in caught.value.message


@pytest.mark.parametrize(
    ("chain", "address", "script", "field"),
    [
        ("bitcoin", "bc1q", "", "script"),
        ("bitcoin", "bc1q", "00zz", "script"),
        ("ethereum", "00", "", "address"),
        ("ethereum", "0x0g", "", "address"),
        ("ethereum", "0x00", "00", "script"),
    ],
)
def test_an_address_without_its_key_is_refused(
    tmp_path: Path, chain: str, address: str, script: str, field: str
) -> None:
    head = ",".join(registry.WALLET_COLUMNS)
    row = f"acme,{chain},{address},treasury,vendor,https://a.example,,{script}"
    (tmp_path / "wallets.csv").write_text(f"{head}\n{row}\n")
    with pytest.raises(InputError) as caught:
        list(registry.wallets(tmp_path))
    assert caught.value.field == field
    assert "wallets.csv, line 2" in caught.value.message


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (",1.5,", ",,", "quantity"),
        ("total,1.5,total", "sale,,trade", "quantity"),
        ("total,1.5,total", "sale,1.5,total", "measure"),
        (",BTC,", ",DOGE,", "asset"),
        ("total,,,", "total,2026-01-04,2026-01-03,", "period_end"),
        ("primary", "rumour", "evidence"),
    ],
)
def test_a_disclosure_that_contradicts_itself(
    tmp_path: Path, old: str, new: str, field: str
) -> None:
    head = ",".join(facts.DISCLOSURE_COLUMNS)
    (tmp_path / "disclosures.csv").write_text(f"{head}\n{DISCLOSURE.replace(old, new)}\n")
    with pytest.raises(InputError) as caught:
        list(facts.disclosures(tmp_path))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (",1000,", ",1000.5,", "value"),
        (",1000,", ",0,", "value"),
        ("1000,,2026-01-05", "1000,,", "basis_date"),
        ("1000,,", "1000,USD,", "currency"),
        ("basic_shares,1000,,2026-01-05", "cash_usd,1000,,", "currency"),
        ("basic_shares", "warrants", "field"),
    ],
)
def test_a_capital_field_that_contradicts_itself(
    tmp_path: Path, old: str, new: str, field: str
) -> None:
    head = ",".join(facts.CAPITAL_COLUMNS)
    (tmp_path / "capital.csv").write_text(f"{head}\n{CAPITAL.replace(old, new)}\n")
    with pytest.raises(InputError) as caught:
        list(facts.capital(tmp_path))
    assert caught.value.field == field
