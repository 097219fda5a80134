"""`/v1/entities/{slug}/mnav`: every definition side by side, now, then and over time."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from tracker.api.auth import READ
from tracker.api.context import Ctx
from tracker.api.paging import EARLIEST, Cursor, Limit, Page, decode_day, encode
from tracker.api.parameters import At, KnownAt, Slug
from tracker.api.schemas.valuation import Valuation
from tracker.registry import repository
from tracker.valuation import contract, service

router = APIRouter(prefix="/v1/entities/{slug}/mnav", tags=["mnav"], dependencies=[READ])

Basis = Annotated[Literal["disclosed"], Query(description="Which holdings are valued")]


@router.get("")
def mnav(
    context: Ctx, slug: Slug, at: At, known_at: KnownAt, basis: Basis = "disclosed"
) -> Valuation:
    """Every definition that has its inputs, each input with its as-of and source."""
    with context.database.transaction(snapshot=True) as session:
        entity = repository.get_entity(session, slug)
        found = service.mnav(
            session, entity, at=at or context.now(), basis=basis, known_at=known_at
        )
    return Valuation.model_validate(contract.as_contract(found))


@router.get("/history")
def history(
    context: Ctx,
    slug: Slug,
    start: Annotated[date | None, Query(alias="from")] = None,
    end: Annotated[date | None, Query(alias="to")] = None,
    limit: Limit = 500,
    cursor: Cursor = None,
) -> Page[Valuation]:
    """One valuation a trading day of the share, oldest first. `to` may lie ahead: it means now."""
    today = context.now().astimezone(UTC).date()
    last = today if end is None else min(end, today)
    if start is not None:
        start = max(start, EARLIEST.date())
    if cursor is not None:
        done = decode_day(cursor)
        if done >= last:
            return Page(items=[], next=None)
        start = done + timedelta(days=1)
    with context.database.transaction(snapshot=True) as session:
        entity = repository.get_entity(session, slug)
        rows = service.history(session, entity, start, last)
    shown = rows[:limit]
    return Page(
        items=[Valuation.model_validate(contract.as_contract(row)) for row in shown],
        next=encode(shown[-1].as_of.date().isoformat()) if len(rows) > limit else None,
    )
