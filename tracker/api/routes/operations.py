"""`/v1/sources` and `/v1/keys`."""

from __future__ import annotations

from fastapi import APIRouter

from tracker.api.auth import READ, WRITE
from tracker.api.context import Ctx
from tracker.api.paging import Page
from tracker.api.schemas.common import Source
from tracker.api.schemas.operations import KeyItem, KeyShown, NewKey
from tracker.operations import keys, repository

router = APIRouter(prefix="/v1", tags=["operations"])


@router.get("/sources", dependencies=[READ])
def list_sources(context: Ctx) -> Page[Source]:
    """The state of every source, unreachable ones with their next try."""
    with context.database.transaction(snapshot=True) as session:
        rows = repository.list_sources(session)
        return Page(items=[Source.model_validate(row) for row in rows], next=None)


@router.get("/keys", dependencies=[WRITE])
def list_keys(context: Ctx) -> Page[KeyItem]:
    """Every bearer key without its secret; needs a key that may write."""
    with context.database.transaction(snapshot=True) as session:
        rows = keys.list_all(session)
        return Page(items=[KeyItem.model_validate(row) for row in rows], next=None)


@router.post("/keys", dependencies=[WRITE], status_code=201)
def add_key(context: Ctx, body: NewKey) -> KeyShown:
    """Make a key. It is shown in this reply and never again."""
    with context.database.transaction() as session:
        key = keys.create(session, body.name, body.scopes, context.now())
    return KeyShown(key=key, name=body.name, scopes=sorted(set(body.scopes)))


@router.delete("/keys/{key_id}", dependencies=[WRITE])
def revoke_key(context: Ctx, key_id: int) -> KeyItem:
    """End a key at once."""
    with context.database.transaction() as session:
        return KeyItem.model_validate(keys.revoke(session, key_id, context.now()))
