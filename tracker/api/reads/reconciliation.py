"""Discrepancies and requests to reconcile, as the API shows them."""

from __future__ import annotations

from tracker.api.paging import Page, decode, encode
from tracker.api.reads.chains import hash_text
from tracker.api.reads.ids import stored_id
from tracker.api.schemas.reconciliation import DiscrepancyItem, ReconcileRequest
from tracker.db.reconciliation import Discrepancy
from tracker.db.registry import Entity
from tracker.db.session import Session
from tracker.domain.units import quantity_text
from tracker.errors import InputError
from tracker.reconciliation import repository
from tracker.reconciliation.asked import repository as asked
from tracker.reconciliation.asked.repository import Request


def discrepancies(
    session: Session, entity: Entity | None, state: str | None, *, limit: int, cursor: str | None
) -> Page[DiscrepancyItem]:
    """A page of canonical discrepancies, newest first."""
    rows = repository.discrepancies(
        session,
        entity_id=None if entity is None else stored_id(entity),
        state=state,
        before=_before(cursor),
        limit=limit + 1,
    )
    shown = rows[:limit]
    addresses = asked.addresses_of(session, {row.wallet_id for row, _ in shown})
    return Page(
        items=[_item(row, owner.slug, addresses[row.wallet_id]) for row, owner in shown],
        next=encode(shown[-1][0].id or 0) if len(rows) > limit else None,
    )


def request_view(entity: str | None, found: Request | None) -> ReconcileRequest:
    """A request with its state; `none` where nobody ever asked."""
    if found is None:
        return ReconcileRequest(
            entity=entity, state="none", asked_at=None, answered_at=None, answer=None
        )
    return ReconcileRequest(
        entity=entity,
        state="asked" if found.answered_at is None else "answered",
        asked_at=found.asked_at,
        answered_at=found.answered_at,
        answer=None if found.answer is None else dict(found.answer),
    )


def _item(row: Discrepancy, slug: str, address: str) -> DiscrepancyItem:
    return DiscrepancyItem(
        id=row.id or 0,
        entity=slug,
        chain=row.chain,
        height=row.height,
        hash=hash_text(row.chain, row.block_hash),
        from_height=row.from_height,
        address=address,
        asset=row.asset,
        observed=str(row.observed),
        expected=str(row.expected),
        amount=str(row.amount),
        quantity=quantity_text(row.amount, row.asset),
        state=row.state,
        explanation=row.explanation,
        says=row.says,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        source=row.source,
    )


def _before(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    (last,) = decode(cursor, 1)
    # No id is longer than PostgreSQL's integers.
    if not last.isascii() or not last.isdigit() or len(last) > 9:
        raise InputError(
            "not a cursor of this list", field="cursor", value=cursor,
            mend="send `next` of the page before as it was, or leave it out",
        )
    return int(last)
