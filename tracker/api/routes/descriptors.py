"""`/v1/descriptors`: one's own treasury, by output descriptor or extended public key."""

from __future__ import annotations

from fastapi import APIRouter

from tracker.api.auth import READ, WRITE
from tracker.api.context import Ctx
from tracker.api.paging import Cursor, Limit, Page, page_after
from tracker.api.schemas.descriptors import (
    DescriptorItem,
    DescriptorRemoval,
    NewDescriptor,
    UsedBranch,
)
from tracker.api.withdrawal import withdraw
from tracker.doorbell import BACKFILL, PUBLISH
from tracker.registry import descriptors
from tracker.registry.descriptors import Listed

router = APIRouter(prefix="/v1/descriptors", tags=["wallets"])


@router.get("", dependencies=[READ])
def list_descriptors(
    context: Ctx, limit: Limit = 100, cursor: Cursor = None
) -> Page[DescriptorItem]:
    """Every descriptor that is followed, oldest first, each by its short form."""
    with context.database.transaction(snapshot=True) as session:
        found = descriptors.list_all(session, network=context.settings.bitcoin_network)
    page = page_after(found, [str(each.row.id) for each in found], cursor, limit)
    return Page(items=[_item(each) for each in page.items], next=page.next)


@router.get("/{descriptor_id}", dependencies=[READ])
def show_descriptor(context: Ctx, descriptor_id: int) -> DescriptorItem:
    """One descriptor, and how far its wallets are opened."""
    with context.database.transaction(snapshot=True) as session:
        return _item(
            descriptors.get(session, descriptor_id, network=context.settings.bitcoin_network)
        )


@router.post("", dependencies=[WRITE], status_code=201)
def add_descriptor(context: Ctx, body: NewDescriptor) -> DescriptorItem:
    """Watch its addresses from the next block on, up to the gap limit beyond the last one used.

    The reply says `bootstrapping`: what they hold is read from the chain at once, in the
    background. Private keys are refused. The text is stored, and shown nowhere.
    """
    with context.database.transaction() as session:
        made = descriptors.add(
            session,
            text=body.descriptor.get_secret_value(),
            now=context.now(),
            network=context.settings.bitcoin_network,
            **body.model_dump(exclude={"descriptor"}),
        )
    context.services.doorbell.ring(BACKFILL)
    return _item(made)


@router.delete("/{descriptor_id}", dependencies=[WRITE])
def remove_descriptor(context: Ctx, descriptor_id: int) -> DescriptorRemoval:
    """Stop watching its addresses. What was seen stays; alerts that rest on it are judged anew."""
    with context.database.transaction() as session:
        removal = descriptors.remove(session, descriptor_id, context.now())
        changed = withdraw(session, removal, context, why="the descriptor was removed")
    context.services.doorbell.ring(PUBLISH)
    return DescriptorRemoval(
        id=descriptor_id, wallets=len(removal.wallets), alerts_changed=changed
    )


def _item(listed: Listed) -> DescriptorItem:
    row, counts = listed.row, listed.counts
    waiting = counts.opened + counts.refused < counts.wallets
    return DescriptorItem(
        id=row.id or 0,
        entity=listed.entity,
        shown=listed.shown,
        fingerprint=row.fingerprint,
        branches=listed.branches,
        gap_limit=row.gap_limit,
        role=row.role,
        tier=row.tier,
        source=row.source,
        note=row.note,
        state="bootstrapping" if waiting else "open" if not counts.refused else "counted_from",
        wallets=counts.wallets,
        opened=counts.opened,
        refused=counts.refused,
        reason=listed.note,
        used=[UsedBranch(branch=branch, last_index=index) for branch, index in counts.last_used],
        warnings=list(listed.warnings),
        recorded_at=row.recorded_at,
    )
