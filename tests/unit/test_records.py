"""Imported files: what is wrong with the file, and what is wrong with a row."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tracker.errors import InputError
from tracker.registry import records
from tracker.registry.records import Columns, Record, decode, read, read_csv

COLUMNS = Columns(("slug", "name"), ("note", "date"))


def test_a_byte_order_mark_and_crlf_are_no_trouble() -> None:
    found = read_csv("\ufeffSlug, Name \r\nacme,Acme Corp\r\n\r\n".encode(), COLUMNS)
    assert [(row.row, row.cells) for row in found.rows] == [
        (2, {"slug": "acme", "name": "Acme Corp"})
    ]


def test_lines_before_the_header_describe_the_file() -> None:
    found = read_csv(b"# Pack: exchanges\n# source: https://a.example\nslug,name\na,A\n", COLUMNS)
    assert found.header == {"pack": "exchanges", "source": "https://a.example"}
    assert found.rows[0].row == 4


@pytest.mark.parametrize(
    ("data", "field", "says"),
    [
        (b"slug,nmae\n", "header", "did you mean name"),
        (b"slug;name\na;A\n", "header", "separate the columns with commas"),
        (b"slug\na\n", "header", "name is missing"),
        (b"", "header", "slug is missing"),
        (b"slug,name,slug\n", "header", "twice"),
        (b"slug,name\n\xff\xfe\n", "file", "not UTF-8"),
        ("slug,name\n".encode("utf-16"), "file", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_error(data: bytes, field: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read_csv(data, COLUMNS)
    assert caught.value.field == field
    assert says in str(caught.value)


def test_malformed_rows_are_reported_and_the_rest_is_read() -> None:
    data = b'slug,name\na,A\nb\nc,C,more\nd,"D" x\ne,E\n'
    found = read_csv(data, COLUMNS)
    assert [row.cells["slug"] for row in found.rows] == ["a", "e"]
    assert [error.row for error in found.errors] == [3, 4, 5]
    assert found.errors[0].message == "1 cells, where the header has 2"


def test_a_file_above_the_bound_is_refused_before_it_is_read() -> None:
    with pytest.raises(InputError, match="larger than 50 MB"):
        decode(bytes(records.MAX_BYTES + 1))


def test_a_file_of_only_bad_rows_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_MOST_REJECTED", 3)
    with pytest.raises(InputError, match="the right file"):
        read_csv(b"slug,name\n" + b"x\n" * 4, COLUMNS)


def test_json_rows_are_objects_of_texts() -> None:
    items = [
        {"slug": "a", "name": "A", "note": None},
        {"slug": "b", "nam": "B"},
        "c",
        {"slug": "d", "name": 1.5},
        {"slug": 7, "name": True},
    ]
    for document in (items, {"items": items}):
        found = read(json.dumps(document).encode(), "json", COLUMNS)
        assert [dict(row.cells) for row in found.rows] == [
            {"slug": "a", "name": "A", "note": ""},
            {"slug": "7", "name": "true"},
        ]
        assert [(error.row, error.field) for error in found.errors] == [
            (2, "'nam'"),
            (3, "row"),
            (4, "name"),
        ]


@pytest.mark.parametrize("data", [b"{", b"7", b'{"rows": []}', b"[" * 100_000, b"NaN"])
def test_what_is_no_array_of_objects_is_refused(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read(data, "json", COLUMNS)
    assert caught.value.field == "file"


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InputError, match="use csv or json"):
        read(b"", "xlsx", COLUMNS)


@pytest.mark.parametrize(
    ("given", "at"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00+09:00", datetime(2026, 1, 31, 3, tzinfo=UTC)),
        ("", None),
    ],
)
def test_dates_and_times_become_utc(given: str, at: datetime | None) -> None:
    assert Record(1, {"date": given}).instant("date") == at


@pytest.mark.parametrize(
    "given", ["31.01.2026", "2026-02-30", "2026-01-31T12:00:00", "0001-01-01T00:00:00+23:00"]
)
def test_other_dates_are_refused(given: str) -> None:
    with pytest.raises(InputError, match="not a date"):
        Record(1, {"date": given}).instant("date")


@pytest.mark.parametrize("given", ["a\x00b", "a\u202eb", "a\ud800b", "x" * 2001])
def test_texts_that_cannot_be_shown_or_stored_are_refused(given: str) -> None:
    with pytest.raises(InputError) as caught:
        Record(1, {"note": given}).optional("note")
    assert caught.value.field == "note"
    str(caught.value).encode()


def test_blanks_of_every_kind_become_one_space() -> None:
    assert Record(1, {"name": "  A\u00a0 B\n C "}).text("name") == "A B C"


def test_a_near_choice_is_suggested() -> None:
    with pytest.raises(InputError, match="did you mean exchange"):
        Record(1, {"kind": "exchnage"}).choice("kind", ("exchange", "dat"))
    with pytest.raises(InputError, match="missing"):
        Record(1, {}).choice("kind", ("exchange", "dat"))
