"""All SQL of prices in series and in bulk. `tracker.facts.repository` answers for single ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import func, text
from sqlalchemy import select as select_columns
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlmodel import Session, col

from tracker.db.copying import copy_rows
from tracker.db.facts import Price
from tracker.domain.money import Money
from tracker.domain.quote import Quote, QuoteState

_POINT = (
    col(Price.kind), col(Price.subject), col(Price.at), col(Price.value), col(Price.currency),
    col(Price.basis_date), col(Price.state), col(Price.source),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PricePoint:
    """A stored price, without the cost of a mapped row."""

    kind: str
    subject: str
    at: datetime
    value: Decimal
    currency: str
    basis_date: date | None
    state: str
    source: str

    def quote(self) -> Quote:
        """The price as the core knows it; an exchange rate is a price in US dollars."""
        return Quote(
            subject=self.subject,
            price=Money(self.value, self.currency),
            at=self.at,
            state=QuoteState(self.state),
            source=self.source,
            basis_date=self.basis_date,
        )


def price_series(
    session: Session, kind: str, subject: str, start: datetime, end: datetime
) -> list[PricePoint]:
    """The last price of each UTC day from `start` to `end`, both counted, oldest first."""
    day = func.date_trunc("day", col(Price.at), "UTC")
    query = (
        select_columns(*_POINT)
        .ext(distinct_on(day))
        .where(
            col(Price.kind) == kind,
            col(Price.subject) == subject,
            col(Price.at) >= start,
            col(Price.at) <= end,
        )
        .order_by(day, col(Price.at).desc(), col(Price.source))
    )
    return [PricePoint(*row) for row in session.execute(query)]


def prices_as_of(
    session: Session,
    wanted: Collection[tuple[str, str, datetime]],
    *,
    known_at: datetime | None = None,
) -> dict[tuple[str, str, datetime], PricePoint]:
    """For each (kind, subject, instant) the newest price at or before it, in one query."""
    if not wanted:
        return {}
    kinds, subjects, instants = zip(*sorted(wanted), strict=True)
    rows = session.execute(
        text(
            """
            select w.kind, w.subject, w.moment,
                   p.at, p.value, p.currency, p.basis_date, p.state, p.source
            from unnest(cast(:kinds as text[]), cast(:subjects as text[]),
                        cast(:instants as timestamptz[])) as w(kind, subject, moment)
            cross join lateral (
                select * from price
                where kind = w.kind and subject = w.subject and at <= w.moment
                  and (cast(:known_at as timestamptz) is null or recorded_at <= :known_at)
                order by at desc, source limit 1
            ) as p
            """
        ),
        {
            "kinds": list(kinds),
            "subjects": list(subjects),
            "instants": list(instants),
            "known_at": known_at,
        },
    )
    return {
        (kind, subject, moment): PricePoint(kind, subject, *rest)
        for kind, subject, moment, *rest in rows
    }


def record_price(session: Session, kind: str, quote: Quote, now: datetime) -> bool:
    """Store one price; True where it is new.

    A price that is known already (kind, subject, instant, source) only learns the state of its
    market: the last trade of a day is open when it is made and closed an hour later.
    """
    row = insert(Price).values(
        kind=kind,
        subject=quote.subject,
        at=quote.at,
        value=quote.price.amount,
        currency=quote.price.currency,
        basis_date=quote.basis_date,
        state=quote.state,
        source=quote.source,
        recorded_at=now,
    )
    statement = row.on_conflict_do_update(
        index_elements=["kind", "subject", "at", "source"],
        set_={"state": row.excluded.state},
        where=col(Price.state) != row.excluded.state,
    ).returning(col(Price.recorded_at))
    recorded_at = session.execute(statement).scalar_one_or_none()
    return recorded_at == now


def add_prices(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store prices in bulk: none of them may be known already, see `price_keys`."""
    copy_rows(session, Price, rows)


def price_keys(session: Session, kind: str) -> set[tuple[str, datetime, str]]:
    """(subject, instant, source) of every stored price of a kind."""
    query = select_columns(col(Price.subject), col(Price.at), col(Price.source)).where(
        col(Price.kind) == kind
    )
    return {(subject, at, source) for subject, at, source in session.execute(query)}
