"""Imported files: whatever their bytes are, an answer or an error of ours."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import InputError
from tracker.registry import entities, labels, tagpack, wallets
from tracker.registry.records import Columns, Record, read, read_csv

COLUMNS = Columns(("slug", "name"), ("note",))

cells = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029\x85"),
    max_size=30,
).map(str.strip)


@given(st.lists(st.tuples(cells, cells, cells), max_size=20), st.booleans())
def test_what_a_csv_writer_wrote_is_read_back(
    rows: list[tuple[str, str, str]], marked: bool
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS.all)
    writer.writerows(rows)
    data = out.getvalue().encode("utf-8-sig" if marked else "utf-8")
    found = read_csv(data, COLUMNS)
    assert found.errors == ()
    assert [tuple(row.cells[name] for name in COLUMNS.all) for row in found.rows] == [
        row for row in rows if any(row)
    ]
    assert [row.row for row in found.rows] == [
        number for number, row in enumerate(rows, 2) if any(row)
    ]


def attempt(call: Callable[..., Any], *args: object) -> Any:
    """What `call` returns, or the error of ours that it raises; any other error fails the test."""
    try:
        return call(*args)
    except InputError as error:
        return error


def read_every_cell(row: Record, columns: Columns) -> None:
    for name in columns.all:
        for form in (row.optional, row.text, row.instant):
            found = attempt(form, name)
            assert not isinstance(found, InputError) or found.field == name


@given(
    st.binary(max_size=300) | st.text(max_size=150).map(lambda text: text.encode(errors="replace")),
    st.sampled_from(["csv", "json"]),
    st.sampled_from([entities.COLUMNS, wallets.COLUMNS, labels.COLUMNS]),
)
def test_any_bytes_are_read_or_refused(data: bytes, form: str, columns: Columns) -> None:
    found = attempt(read, data, form, columns)
    if isinstance(found, InputError):
        assert found.mend
    else:
        for row in found.rows:
            read_every_cell(row, columns)


@given(st.text(st.sampled_from('"\n\r,;\x00#: abé'), max_size=80))
def test_any_body_under_a_right_header_is_read_row_by_row(body: str) -> None:
    found = read_csv(f"slug,name,note\n{body}".encode(), COLUMNS)
    for row in found.rows:
        assert set(row.cells) == {"slug", "name", "note"}
        read_every_cell(row, COLUMNS)
    for error in found.errors:
        assert error.row >= 2
        assert error.message


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_any_tag_is_read_or_refused_in_its_row(tag: object) -> None:
    pack = {"title": "t", "creator": "c", "currency": "BTC", "tags": [tag]}
    found = attempt(tagpack.read, yaml.safe_dump(pack).encode(errors="replace"))
    if isinstance(found, InputError):
        assert found.mend
    else:
        assert len(found.rows) + len(found.errors) == 1


@given(st.binary(max_size=200))
def test_any_bytes_as_a_tagpack_are_read_or_refused(data: bytes) -> None:
    found = attempt(tagpack.read, data)
    assert not isinstance(found, InputError) or found.mend
