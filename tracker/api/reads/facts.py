"""Disclosures and capital of an entity as the API shows them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from tracker.api.reads.ids import stored_id
from tracker.api.schemas.common import Money
from tracker.api.schemas.entities import CapitalItem, DisclosureItem
from tracker.db.facts import Disclosure
from tracker.db.registry import Entity
from tracker.db.session import Session
from tracker.domain.units import quantity_text
from tracker.facts import repository
from tracker.valuation.contract import decimal_text


def list_disclosures(
    session: Session, entity: Entity, known_at: datetime | None
) -> list[tuple[int, DisclosureItem]]:
    """Everything that the entity reported with each row's id, newest first."""
    rows = repository.disclosures_of(session, stored_id(entity), known_at=known_at)
    return [(row.id or 0, disclosure_item(row)) for row in rows]


def disclosure_item(row: Disclosure) -> DisclosureItem:
    """One disclosure as the API shows it."""
    return DisclosureItem(
        asset=row.asset,
        kind=row.kind,
        measure=row.measure,
        quantity=None if row.amount is None else quantity_text(row.amount, row.asset),
        amount=None if row.amount is None else str(row.amount),
        reason="the disclosure states no quantity" if row.amount is None else None,
        as_of=row.as_of,
        period_start=row.period_start,
        period_end=row.period_end,
        cost=_money(row.cost, row.currency),
        average_price=_money(row.average_price, row.currency),
        evidence=row.evidence,
        form=row.form,
        source=row.source,
        quote=row.quote,
        note=row.note,
        owner=row.owner,
        published_at=row.published_at,
        first_seen=row.first_seen,
        recorded_at=row.recorded_at,
    )


def list_capital(
    session: Session, entity: Entity, known_at: datetime | None
) -> list[tuple[int, CapitalItem]]:
    """Every capital figure of the entity with each row's id, newest first."""
    rows = repository.capital_of(session, stored_id(entity), known_at=known_at)
    return [
        (
            row.id or 0,
            CapitalItem(
                field=row.field,
                value=decimal_text(row.value),
                currency=row.currency,
                as_of=row.as_of,
                basis_date=row.basis_date,
                complete=row.complete,
                source=row.source,
                note=row.note,
                published_at=row.published_at,
                recorded_at=row.recorded_at,
            ),
        )
        for row in rows
    ]


def _money(amount: Decimal | None, currency: str) -> Money | None:
    return None if amount is None else Money(amount=decimal_text(amount), currency=currency)
