"""Lists by cursor: what a page holds, and where the next one starts."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from tracker.errors import InputError

T = TypeVar("T")

MAX_LIMIT = 500
# Bitcoin's first block: nothing that is followed was held before it.
EARLIEST = datetime(2009, 1, 3, tzinfo=UTC)
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many items at most")]
Cursor = Annotated[
    str | None,
    Query(max_length=400, description="`next` of the page before; leave it out for the first"),
]


class Page(BaseModel, Generic[T]):
    """A part of a list, and the cursor of the next part or null."""

    items: list[T]
    next: str | None = Field(None, description="Cursor of the next page; null at the end")


def encode(*key: str | int) -> str:
    """A sort key as an opaque cursor."""
    raw = json.dumps(key, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode(cursor: str, length: int) -> list[str]:
    """The sort key of `length` parts that `cursor` holds; raises `InputError` if it holds none."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _bad(cursor) from None
    if not isinstance(key, list) or len(key) != length:
        raise _bad(cursor)
    return [str(part) for part in key]


def encode_moment(at: datetime, identity: str) -> str:
    """The cursor of an item sorted by time and id."""
    return encode(at.isoformat(), identity)


def decode_moment(cursor: str | None) -> tuple[datetime, str] | None:
    """Time and id of the item that `cursor` names; None for the first page."""
    if cursor is None:
        return None
    stamp, identity = decode(cursor, 2)
    try:
        at = datetime.fromisoformat(stamp)
        if at.tzinfo is None:
            raise _bad(cursor)
        return at.astimezone(UTC), identity
    except (ValueError, OverflowError):
        raise _bad(cursor) from None


def decode_day(cursor: str) -> date:
    """The day that a cursor of a list by days names."""
    (day,) = decode(cursor, 1)
    try:
        return date.fromisoformat(day)
    except ValueError:
        raise _bad(cursor) from None


def page_after(items: Sequence[T], key: Sequence[str], cursor: str | None, limit: int) -> Page[T]:
    """A page of a short list that is held whole; `key` gives each item's identity, in order.

    Raises `InputError` where the item that the cursor names is gone.
    """
    start = 0
    if cursor is not None:
        (last,) = decode(cursor, 1)
        if last not in key:
            raise _bad(cursor)
        start = key.index(last) + 1
    stop = start + limit
    return Page(
        items=list(items[start:stop]), next=encode(key[stop - 1]) if stop < len(items) else None
    )


def instant(text: str | None, *, now: datetime, field: str = "at") -> datetime | None:
    """`text` as a UTC instant no later than `now`; a bare date means the end of that day.

    Raises `InputError` for a time without a zone, before `EARLIEST`, to come, or no time at all.
    """
    if text is None:
        return None
    # In a query string an unescaped `+` of a zone arrives as a space.
    stamp = text.strip().replace(" ", "+") if "T" in text else text.strip()
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        raise _bad_time("not a date or time", field, text) from None
    if "T" not in stamp and len(stamp) <= len("2026-10-04"):
        whole_day = datetime.combine(at.date(), time.max, tzinfo=UTC)
        at = min(whole_day, now) if at.date() == now.date() else whole_day
    if at.tzinfo is None:
        raise _bad_time("a time needs its zone", field, text)
    if at > now:
        raise _bad_time("a time to come", field, text)
    if at < EARLIEST:
        raise _bad_time("a time before the first block", field, text)
    return at.astimezone(UTC)


def _bad_time(what: str, field: str, value: str) -> InputError:
    return InputError(
        what,
        field=field,
        value=value,
        mend="write 2026-10-04 or 2026-10-04T12:00:00Z: from 2009-01-03 to now",
    )


def _bad(cursor: str) -> InputError:
    return InputError(
        "not a cursor of this list",
        field="cursor",
        value=cursor,
        mend="send `next` of the page before as it was, or leave it out",
    )
