"""The pull feed: published events behind a cursor, for receivers that were down."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from tracker.domain.subscription import ALERTS
from tracker.errors import InputError
from tracker.events import repository

MAX_PAGE = 500


@dataclass(frozen=True, slots=True)
class FeedItem:
    """A published event: its cursor, its id, and the body that endpoints got."""

    cursor: int
    id: str
    body: bytes

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of the contract: `cursor`, `id`, `type`, `timestamp`, `data`."""
        return {"cursor": self.cursor, "id": self.id, **json.loads(self.body)}


def after(
    session: Session, cursor: int, limit: int = 100, *, streams: Collection[str] = (ALERTS,)
) -> list[FeedItem]:
    """Up to `limit` (1 to 500) events behind `cursor` (0 for all), oldest first.

    The next page starts behind the last item's cursor. Cursors have no gaps over both streams;
    with one stream asked for, those of the other are missing. Raises `InputError` for a cursor
    or a limit out of its range.
    """
    if not 0 <= cursor < 2**63:
        raise InputError("not a cursor", field="after", value=cursor, mend="start with 0")
    if not 1 <= limit <= MAX_PAGE:
        raise InputError("bad page size", field="limit", value=limit, mend=f"use 1 to {MAX_PAGE}")
    return [
        FeedItem(cursor=event.cursor or 0, id=event.id, body=bytes(event.body))
        for event in repository.after(session, cursor, limit, streams)
    ]


def latest_cursor(session: Session) -> int:
    """The highest cursor given so far; 0 before the first event."""
    return repository.latest_cursor(session)
