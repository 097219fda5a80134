"""`/v1/discrepancies` and `/v1/reconcile`: where ledger and chain differ, and look again."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from tracker.api.auth import READ, WRITE
from tracker.api.context import Ctx
from tracker.api.paging import Cursor, Limit, Page
from tracker.api.reads import reconciliation
from tracker.api.schemas.reconciliation import DiscrepancyItem, NewReconcile, ReconcileRequest
from tracker.doorbell import RECONCILE
from tracker.reconciliation.asked import repository as asked
from tracker.registry import repository

router = APIRouter(prefix="/v1", tags=["reconciliation"])

State = Literal["open", "explained", "closed"]
Slug = Annotated[str | None, Query(max_length=80, examples=["strategy"])]


@router.get("/discrepancies", dependencies=[READ])
def list_discrepancies(
    context: Ctx,
    entity: Slug = None,
    state: State | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[DiscrepancyItem]:
    """Where a probed balance and the ledger differed, newest first."""
    with context.database.transaction(snapshot=True) as session:
        owner = None if entity is None else repository.get_entity(session, entity)
        return reconciliation.discrepancies(session, owner, state, limit=limit, cursor=cursor)


@router.post("/reconcile", dependencies=[WRITE], status_code=202)
def ask(context: Ctx, body: NewReconcile) -> ReconcileRequest:
    """Ask the worker to compare wallets with the chain now; ask again for what came of it."""
    with context.database.transaction() as session:
        if body.entity is not None:
            repository.get_entity(session, body.entity)
        found = asked.ask(session, body.entity, context.now())
    context.services.doorbell.ring(RECONCILE)
    return reconciliation.request_view(body.entity, found)


@router.get("/reconcile", dependencies=[READ])
def newest(context: Ctx, entity: Slug = None) -> ReconcileRequest:
    """The newest request for an entity, or for all, with its answer."""
    with context.database.transaction(snapshot=True) as session:
        if entity is not None:
            repository.get_entity(session, entity)
        return reconciliation.request_view(entity, asked.request_of(session, entity))
