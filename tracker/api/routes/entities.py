"""`/v1/entities`: who is followed and what can be seen of each."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from tracker.api.auth import READ, WRITE
from tracker.api.context import Context, Ctx
from tracker.api.paging import Cursor, Limit, Page
from tracker.api.parameters import DryRun, FileBody, Format, Slug
from tracker.api.reads import chains
from tracker.api.reads.entities import Filter, list_entities, show_entity
from tracker.api.schemas.common import ImportResult
from tracker.api.schemas.entities import EntityChange, EntityDetail, EntityItem, NewEntity
from tracker.db.session import Session
from tracker.domain.entity import Kind, Observability, Role
from tracker.registry import entities, records, repository

router = APIRouter(prefix="/v1/entities", tags=["entities"])


@router.get("", dependencies=[READ])
def list_all(
    context: Ctx,
    kind: Kind | None = None,
    role: Role | None = None,
    q: Annotated[str | None, Query(max_length=100, description="Part of a name or ticker")] = None,
    observability: Observability | None = None,
    enabled: bool | None = True,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[EntityItem]:
    """Entities, the best known first, then the most valuable."""
    chosen = Filter(kind, role, q, enabled, observability)
    with context.database.transaction(snapshot=True) as session:
        heads = _heads(context, session)
        return list_entities(session, chosen, heads, limit=limit, cursor=cursor).page


@router.get("/{slug}", dependencies=[READ])
def show(context: Ctx, slug: Slug) -> EntityDetail:
    """One entity in full."""
    with context.database.transaction(snapshot=True) as session:
        entity = repository.get_entity(session, slug)
        return show_entity(session, entity, _heads(context, session))


@router.post("", dependencies=[WRITE], status_code=201)
def add(context: Ctx, body: NewEntity) -> EntityDetail:
    """Add an entity."""
    with context.database.transaction() as session:
        entity = entities.add(session, now=context.now(), **body.model_dump())
        return show_entity(session, entity, _heads(context, session))


@router.post("/import", dependencies=[WRITE])
def import_file(
    context: Ctx, content: FileBody, form: Format = "csv", dry_run: DryRun = False
) -> ImportResult:
    """Add the entities of a CSV or JSON file sent as the body; bad rows are told one by one."""
    with context.database.transaction() as session:
        found = records.read(content, form, entities.COLUMNS)
        report = entities.import_rows(session, found, context.now(), dry_run=dry_run)
    return ImportResult.model_validate(report)


@router.patch("/{slug}", dependencies=[WRITE])
def change(context: Ctx, slug: Slug, body: EntityChange) -> EntityDetail:
    """Switch an entity on or off. What is off is not watched or judged; nothing is lost."""
    with context.database.transaction() as session:
        entity = entities.set_enabled(session, slug, enabled=body.enabled, now=context.now())
        return show_entity(session, entity, _heads(context, session))


def _heads(context: Context, session: Session) -> chains.Heads:
    return chains.heads(session, context.now(), context.settings)
