"""`/v1/events`: the feed behind the webhooks, by page and as a stream (SSE)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query, Request
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse

from tracker.api.auth import READ
from tracker.api.context import Context, Ctx
from tracker.api.paging import Limit
from tracker.api.schemas.alerts import EventItem, EventPage
from tracker.errors import InputError, RetryableError, SourceUnavailableError
from tracker.events import feed
from tracker.log import get_logger

router = APIRouter(prefix="/v1/events", tags=["events"], dependencies=[READ])

_log = get_logger("api.events")
_POLL_SECONDS = 1.0
_KEEP_ALIVE_SECONDS = 15
_SEND_SECONDS = 30.0  # a reader that takes nothing for that long is gone
_MOST_STREAMS = 50  # each asks the database once a second
_BATCH = 100

After = Annotated[
    int | None, Query(ge=0, lt=2**63, description="Cursor behind which to start; 0 for all")
]


@router.get("")
def list_events(context: Ctx, after: After = None, limit: Limit = 100) -> EventPage:
    """Events behind a cursor, oldest first. `next` is null at the end: keep the last cursor."""
    items = _read(context, after or 0, limit + 1)
    shown = items[:limit]
    return EventPage(
        items=shown, next=str(shown[-1].cursor) if len(items) > limit and shown else None
    )


@router.get("/stream", response_class=EventSourceResponse)
async def stream(
    context: Ctx,
    request: Request,
    after: After = None,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> EventSourceResponse:
    """Events as they are published. Starts behind `Last-Event-ID` or `after`, else with the next.

    The `id` of each message is its cursor, so that a browser's or a library's own reconnection
    misses nothing.
    """
    slots = _slots(request)
    if slots.borrowed_tokens >= slots.total_tokens:
        raise SourceUnavailableError(
            f"{_MOST_STREAMS} streams are open already",
            retry_after=30,
            mend="close one, or read /v1/events by pages",
        )
    start = _start(after, last_event_id)
    if start is None:
        start = await run_sync(_latest, context)
    return EventSourceResponse(
        _follow(context, start, slots),
        ping=_KEEP_ALIVE_SECONDS,
        send_timeout=_SEND_SECONDS,
        sep="\n",
    )


async def _follow(
    context: Context, cursor: int, slots: anyio.CapacityLimiter
) -> AsyncIterator[ServerSentEvent]:
    async with _Slot(slots):
        while True:
            try:
                items = await run_sync(_read, context, cursor, _BATCH)
            except RetryableError as error:
                _log.warning("stream_ended", code=error.code)
                return  # the reader comes back with the cursor it has
            for item in items:
                cursor = item.cursor
                yield ServerSentEvent(id=str(cursor), data=json.dumps(item.model_dump()))
            if not items:
                await anyio.sleep(_POLL_SECONDS)


class _Slot:
    """One of the streams that may be open; each is its own borrower."""

    def __init__(self, slots: anyio.CapacityLimiter) -> None:
        self._slots = slots

    async def __aenter__(self) -> None:
        await self._slots.acquire_on_behalf_of(self)

    async def __aexit__(self, *_: object) -> None:
        self._slots.release_on_behalf_of(self)


def _slots(request: Request) -> anyio.CapacityLimiter:
    """The limiter of this app, made on its event loop at the first stream."""
    state = request.app.state
    if not hasattr(state, "streams"):
        state.streams = anyio.CapacityLimiter(_MOST_STREAMS)
    limiter: anyio.CapacityLimiter = state.streams
    return limiter


def _start(after: int | None, last_event_id: str | None) -> int | None:
    if last_event_id is None:
        return after
    if not last_event_id.isascii() or not last_event_id.isdigit():
        raise InputError(
            "not a cursor",
            field="Last-Event-ID",
            value=last_event_id,
            mend="send the id of the last event, or leave the header out",
        )
    return int(last_event_id)


def _latest(context: Context) -> int:
    with context.database.transaction(snapshot=True) as session:
        return feed.latest_cursor(session)


def _read(context: Context, cursor: int, limit: int) -> list[EventItem]:
    with context.database.transaction(snapshot=True) as session:
        found = feed.after(session, cursor, min(limit, feed.MAX_PAGE))
    return [EventItem.model_validate(item.as_dict()) for item in found]
