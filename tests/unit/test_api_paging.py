"""Cursors and times as callers send them."""

from datetime import UTC, datetime

import pytest

from tracker.api.paging import (
    decode,
    decode_moment,
    encode,
    encode_moment,
    instant,
    page_after,
)
from tracker.errors import InputError

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_cursor_brings_back_what_it_was_made_of():
    at = datetime(2026, 7, 1, 3, 4, 5, 678901, tzinfo=UTC)
    assert decode_moment(encode_moment(at, "al_1")) == (at, "al_1")
    assert decode(encode("ümlaut / ?", 7), 2) == ["ümlaut / ?", "7"]


@pytest.mark.parametrize(
    "text", ["", "x", "%%%%", "é", encode("a"), encode("a", "b", "c"), encode("not a time", "id")]
)
def test_any_other_text_is_refused_with_the_mend(text):
    with pytest.raises(InputError) as refused:
        decode_moment(text)
    assert refused.value.field == "cursor"
    assert refused.value.mend


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:00-14:00"])
def test_a_time_in_a_cursor_that_no_calendar_has_in_utc_is_refused(stamp):
    with pytest.raises(InputError):
        decode_moment(encode(stamp, "al_1"))


def test_a_naive_time_in_a_cursor_is_refused():
    with pytest.raises(InputError):
        decode_moment(encode("2026-07-01T00:00:00", "al_1"))


def test_pages_of_a_list_join_to_the_list():
    items = list(range(7))
    names = [f"n{item}" for item in items]
    seen, cursor = [], None
    for _ in range(4):
        page = page_after(items, names, cursor, 2)
        seen += page.items
        cursor = page.next
    assert seen == items
    assert cursor is None


def test_a_cursor_whose_item_is_gone_is_refused():
    with pytest.raises(InputError):
        page_after([1], ["a"], encode("b"), 10)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-10-04", datetime(2026, 10, 4, 23, 59, 59, 999999, tzinfo=UTC)),
        ("2026-11-22", NOW),  # today ends now, not tonight
        ("2026-10-04T12:00:00Z", datetime(2026, 10, 4, 12, tzinfo=UTC)),
        ("2026-10-04T12:00:00+02:00", datetime(2026, 10, 4, 10, tzinfo=UTC)),
        ("2026-10-04T12:00:00 02:00", datetime(2026, 10, 4, 10, tzinfo=UTC)),  # `+` unescaped
    ],
)
def test_times_are_read(text, at):
    assert instant(text, now=NOW) == at


@pytest.mark.parametrize(
    "text",
    ["2026-10-04T12:00:00", "2026-11-23", "2026-11-22T12:00:01Z", "soon", "", "2026-13-01",
     "0001-01-01", "0001-01-01T00:00:00+14:00", "2009-01-02"],
)  # fmt: skip
def test_other_times_are_refused(text):
    with pytest.raises(InputError) as refused:
        instant(text, now=NOW)
    assert refused.value.field == "at"
    assert "2026-10-04T12:00:00Z" in (refused.value.mend or "")
