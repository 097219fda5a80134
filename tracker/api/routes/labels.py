"""`/v1/labels`: packs of labels, imported, exported and removed as one."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from tracker.api.auth import READ, WRITE
from tracker.api.context import Ctx
from tracker.api.paging import Page
from tracker.api.parameters import DryRun, FileBody
from tracker.api.schemas.operations import PackImport, PackItem, PackRemoval
from tracker.api.withdrawal import withdraw
from tracker.doorbell import BACKFILL, PUBLISH
from tracker.registry import labels
from tracker.registry.packs import repository

router = APIRouter(prefix="/v1/labels", tags=["labels"])


@router.get("", dependencies=[READ])
def list_packs(context: Ctx) -> Page[PackItem]:
    """Every pack with its licence and how many labels and wallets it holds."""
    with context.database.transaction(snapshot=True) as session:
        rows = repository.list_packs(session)
    return Page(
        items=[
            PackItem(
                name=row.pack.name,
                title=row.pack.title,
                creator=row.pack.creator,
                licence=row.pack.licence,
                redistributable=row.pack.redistributable,
                source=row.pack.source,
                recorded_at=row.pack.recorded_at,
                labels=row.labels,
                wallets=row.wallets,
            )
            for row in rows
        ],
        next=None,
    )


@router.post("/import", dependencies=[WRITE])
def import_pack(
    context: Ctx,
    content: FileBody,
    form: Annotated[Literal["csv", "tagpack"], Query(alias="format")] = "csv",
    name: Annotated[str | None, Query(max_length=64)] = None,
    licence: Annotated[str | None, Query(max_length=200)] = None,
    redistributable: bool | None = None,
    dry_run: DryRun = False,
) -> PackImport:
    """Import a pack sent as the body; one of the same name is replaced by it."""
    with context.database.transaction() as session:
        report = labels.import_pack(
            session,
            content,
            form,
            context.now(),
            network=context.settings.bitcoin_network,
            name=name,
            licence=licence,
            redistributable=redistributable,
            dry_run=dry_run,
        )
        changed = withdraw(
            session, report.removal, context, why=f"the label pack {report.pack} was replaced"
        )
    context.services.doorbell.ring(PUBLISH)
    if report.accepted and not dry_run:
        context.services.doorbell.ring(BACKFILL)  # a pack may hold wallets
    return PackImport.model_validate(
        {
            "pack": report.pack,
            "accepted": report.accepted,
            "unchanged": report.unchanged,
            "rejected": report.rejected,
            "dry_run": report.dry_run,
            "alerts_changed": changed,
        },
        from_attributes=True,
    )


@router.get("/{pack}/export", dependencies=[READ])
def export_pack(
    context: Ctx,
    pack: str,
    even_if_restricted: Annotated[
        bool, Query(description="For your own use, whatever the licence says")
    ] = False,
) -> Response:
    """The open rows of a pack as CSV, in the form that import reads."""
    with context.database.transaction(snapshot=True) as session:
        content = labels.export_pack(session, pack, even_if_restricted=even_if_restricted)
    return Response(content, media_type="text/csv; charset=utf-8")


@router.delete("/{pack}", dependencies=[WRITE])
def remove_pack(context: Ctx, pack: str) -> PackRemoval:
    """Remove a pack; alerts that rested on it are revised or retracted."""
    with context.database.transaction() as session:
        removal = labels.remove_pack(session, pack, context.now())
        changed = withdraw(session, removal, context, why=f"the label pack {pack} was removed")
    context.services.doorbell.ring(PUBLISH)
    return PackRemoval(
        pack=pack,
        labels=len(removal.labels),
        wallets=len(removal.wallets),
        alerts_changed=changed,
    )
