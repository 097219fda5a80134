"""Parameters that several routes take."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Request

from tracker.api.context import Ctx
from tracker.api.paging import instant

Slug = Annotated[str, Path(max_length=80, examples=["strategy"])]
Format = Annotated[Literal["csv", "json"], Query(alias="format")]
DryRun = Annotated[bool, Query(description="Check every row, write nothing")]


async def _body(request: Request) -> bytes:
    return await request.body()


FileBody = Annotated[bytes, Depends(_body)]


def _at(
    context: Ctx,
    at: Annotated[
        str | None, Query(max_length=40, description="A UTC time, or a date: the end of that day")
    ] = None,
) -> datetime | None:
    return instant(at, now=context.now())


def _known_at(
    context: Ctx,
    known_at: Annotated[
        str | None, Query(max_length=40, description="Only what was recorded by then")
    ] = None,
) -> datetime | None:
    return instant(known_at, now=context.now(), field="known_at")


At = Annotated[datetime | None, Depends(_at)]
KnownAt = Annotated[datetime | None, Depends(_known_at)]
