"""All SQL of facts: disclosures, capital, corporate actions and prices."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, delete, func, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from tracker.db.copying import copy_rows
from tracker.db.facts import Capital, CorporateAction, Disclosure, Price

# How near to the entity's own words a row is, best first; unknown words come last.
EVIDENCE_ORDER = ("primary", "transcribed", "derived", "press", "tracker")

Fact = type[Disclosure | Capital]


# -- disclosures ---------------------------------------------------------------------------------


def disclosures_of(
    session: Session, entity_id: int, *, known_at: datetime | None = None
) -> list[Disclosure]:
    """What the entity reported, newest first: what is believed now, or what was at `known_at`."""
    query = (
        select(Disclosure)
        .where(Disclosure.entity_id == entity_id, *_believed(Disclosure, known_at))
        .order_by(col(Disclosure.as_of).desc(), col(Disclosure.asset), col(Disclosure.id))
    )
    return list(session.exec(query))


def entities_with_disclosures(session: Session) -> set[int]:
    """Ids of the entities that ever reported anything, in what is believed now or was before."""
    return set(session.exec(select(Disclosure.entity_id).distinct()))


def totals(
    session: Session,
    *,
    entity_ids: Collection[int] | None = None,
    measures: Collection[str] = ("total",),
    known_at: datetime | None = None,
) -> list[Disclosure]:
    """Every stated total of these measures, newest first and, on one day, best evidence first."""
    query = select(Disclosure).where(
        Disclosure.kind == "total",
        col(Disclosure.measure).in_(measures),
        col(Disclosure.amount).is_not(None),
        *_believed(Disclosure, known_at),
        *_of(Disclosure, entity_ids),
    )
    return list(session.exec(query.order_by(*_best_first())))


def latest_totals(
    session: Session,
    *,
    at: date | None = None,
    entity_ids: Collection[int] | None = None,
    known_at: datetime | None = None,
) -> dict[int, dict[str, Disclosure]]:
    """The newest total of measure `total` by entity and asset, as of `at` or before.

    Where one day has several, the best evidence wins. `staked` and other measures are parts or
    other units of the same coins and never counted here.
    """
    query = (
        select(Disclosure)
        .ext(distinct_on(col(Disclosure.entity_id), col(Disclosure.asset)))
        .where(
            Disclosure.kind == "total",
            Disclosure.measure == "total",
            col(Disclosure.amount).is_not(None),
            *([Disclosure.as_of <= at] if at is not None else []),
            *_believed(Disclosure, known_at),
            *_of(Disclosure, entity_ids),
        )
        .order_by(col(Disclosure.entity_id), col(Disclosure.asset), *_best_first())
    )
    found: dict[int, dict[str, Disclosure]] = {}
    for row in session.exec(query):
        found.setdefault(row.entity_id, {})[row.asset] = row
    return found


def count_totals(session: Session, entity_ids: Collection[int]) -> dict[int, int]:
    """How many totals of measure `total` each entity is believed to have stated, by entity id."""
    query = (
        select(col(Disclosure.entity_id), func.count())
        .where(
            Disclosure.kind == "total",
            Disclosure.measure == "total",
            col(Disclosure.amount).is_not(None),
            *_believed(Disclosure, None),
            *_of(Disclosure, entity_ids),
        )
        .group_by(col(Disclosure.entity_id))
    )
    return dict(session.exec(query).all())


def disclosed_at(session: Session, entity_id: int, asset: str, day: date) -> Disclosure | None:
    """The newest total of `asset` that the entity stated as of `day` or before."""
    return latest_totals(session, at=day, entity_ids=[entity_id]).get(entity_id, {}).get(asset)


# -- capital and corporate actions ---------------------------------------------------------------


def capital_of(
    session: Session, entity_id: int, *, known_at: datetime | None = None
) -> list[Capital]:
    """Every figure of the entity's capital structure, newest first."""
    return capital(session, entity_ids=[entity_id], known_at=known_at)


def capital(
    session: Session,
    *,
    entity_ids: Collection[int] | None = None,
    known_at: datetime | None = None,
) -> list[Capital]:
    """Every capital figure, newest first; on one day the complete before the incomplete."""
    query = (
        select(Capital)
        .where(*_believed(Capital, known_at), *_of(Capital, entity_ids))
        .order_by(col(Capital.as_of).desc(), col(Capital.complete).desc(), col(Capital.source))
    )
    return list(session.exec(query))


def actions(
    session: Session, *, entity_ids: Collection[int] | None = None
) -> list[CorporateAction]:
    """Splits and ADS changes, oldest first."""
    query = select(CorporateAction)
    if entity_ids is not None:
        query = query.where(col(CorporateAction.entity_id).in_(entity_ids))
    return list(session.exec(query.order_by(col(CorporateAction.effective))))


# -- prices --------------------------------------------------------------------------------------


def price_at(
    session: Session, kind: str, subject: str, at: datetime, max_age: timedelta
) -> Price | None:
    """The newest price of one kind at or before `at`, if not older than `max_age`."""
    query = _newest(subject, at).where(Price.kind == kind, Price.at >= at - max_age)
    return session.exec(query).first()


def latest_price(session: Session, subject: str, at: datetime) -> Price | None:
    """The newest price of a coin or share at or before `at`, live or close, however old."""
    return session.exec(_newest(subject, at).where(col(Price.kind) != "fx")).first()


# -- writing facts -------------------------------------------------------------------------------


def counted_entities(session: Session) -> list[int]:
    """The ids of entities whose share count is known, in order: those that a quote can value."""
    query = (
        select(Capital.entity_id)
        .distinct()
        .where(Capital.field == "basic_shares", col(Capital.closed_at).is_(None))
        .order_by(col(Capital.entity_id))
    )
    return list(session.exec(query))


def open_rows(session: Session, table: type[Any]) -> list[Any]:
    """Every row of a bitemporal table that is believed now, whoever owns it."""
    return list(session.exec(select(table).where(col(table.closed_at).is_(None))))


def insert_rows(session: Session, table: type[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows in bulk; every row gives the same columns."""
    copy_rows(session, table, rows)


def close_rows(session: Session, table: Fact, ids: Collection[int], now: datetime) -> None:
    """End what was believed from `now` on; the rows stay."""
    if ids:
        session.execute(update(table).where(col(table.id).in_(ids)).values(closed_at=now))


def delete_actions(session: Session, ids: Collection[int]) -> None:
    """Remove corporate actions; they are not bitemporal."""
    if ids:
        session.execute(delete(CorporateAction).where(col(CorporateAction.id).in_(ids)))


def find_open_disclosure(session: Session, row: Disclosure) -> Disclosure | None:
    """The open disclosure with the same entity, day, asset, kind, measure and source."""
    return session.exec(
        select(Disclosure).where(
            Disclosure.entity_id == row.entity_id,
            Disclosure.as_of == row.as_of,
            Disclosure.asset == row.asset,
            Disclosure.kind == row.kind,
            Disclosure.measure == row.measure,
            Disclosure.source == row.source,
            col(Disclosure.closed_at).is_(None),
        )
    ).one_or_none()


def add_disclosure(session: Session, row: Disclosure) -> Disclosure:
    """Store one disclosure; its id is set."""
    session.add(row)
    session.flush()
    return row


def _newest(subject: str, at: datetime) -> SelectOfScalar[Price]:
    return (
        select(Price)
        .where(Price.subject == subject, Price.at <= at)
        .order_by(col(Price.at).desc(), col(Price.source))
        .limit(1)
    )


def _best_first() -> tuple[Any, ...]:
    rank = case(
        {name: index for index, name in enumerate(EVIDENCE_ORDER)},
        value=col(Disclosure.evidence),
        else_=len(EVIDENCE_ORDER),
    )
    return col(Disclosure.as_of).desc(), rank, col(Disclosure.id)


def _of(table: Fact, ids: Collection[int] | None) -> list[ColumnElement[bool]]:
    return [] if ids is None else [col(table.entity_id).in_(ids)]


def _believed(table: Fact, known_at: datetime | None) -> list[ColumnElement[bool]]:
    """Rows believed now, or at `known_at`."""
    closed = col(table.closed_at)
    if known_at is None:
        return [closed.is_(None)]
    return [col(table.recorded_at) <= known_at, closed.is_(None) | (closed > known_at)]
