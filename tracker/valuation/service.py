"""mNAV of an entity at a moment, over time, and of all entities at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from sqlmodel import Session

from tracker.db.registry import Entity
from tracker.domain.quote import COIN_MAX_AGE, Quote, QuoteState
from tracker.domain.valuation import DEFINITIONS, DefinitionValue, Input, value
from tracker.errors import InputError
from tracker.valuation import books
from tracker.valuation.inputs import Book, inputs_at

BASES = ("disclosed",)
# The definitions that stand for all in a list, best first.
HEADLINES = ("ev", "basic")

# A share that last traded longer ago than a weekend and a holiday is not merely closed.
_CLOSED_AT_MOST = timedelta(days=4)
# A coin never closes: with a price older than a day the coins' side of the ratio is stale.
_COIN_AT_MOST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class EntityValuation:
    """Every definition of one entity at `as_of`.

    `as_of` is before `asked` where the prices known at `asked` were too old and the newest moment
    that has them all was valued instead; `quote_state` is then `stale`. `quote_state` is None, with
    a `reason`, where no price of the share is known. `quote_age` counts from the share's price to
    `asked`.
    """

    entity: str
    asked: datetime
    as_of: datetime
    basis: str
    quote_state: QuoteState | None
    quote_age: timedelta | None
    reason: str | None
    definitions: tuple[DefinitionValue, ...]

    def value_of(self, definition: str) -> Decimal | None:
        """The value of one definition; None where it has none or is not known."""
        for found in self.definitions:
            if found.id == definition:
                return found.value
        return None


@dataclass(frozen=True, slots=True)
class Headline:
    """The one figure shown in lists: enterprise value where it is known, else basic."""

    id: str
    value: Decimal
    as_of: datetime


def mnav(
    session: Session,
    entity: Entity,
    *,
    at: datetime,
    basis: str = "disclosed",
    known_at: datetime | None = None,
    fall_back: bool = True,
) -> EntityValuation:
    """Every definition at `at`, or at the newest earlier moment whose prices are all there.

    Without `fall_back` it is `at` or nothing: a rule judges a moment, not the last one that had
    prices. `known_at` uses only what was stored by then. Raises `InputError` for an unknown basis.
    """
    if basis not in BASES:
        raise InputError(
            "unknown holdings basis", field="basis", value=basis, mend=f"use {', '.join(BASES)}"
        )
    facts = books.Facts(session, [entity], known_at)
    found = books.at_moments(session, facts, at, known_at=known_at, fall_back=fall_back)
    moment, book = next(iter(found.values()))
    return _valuation(book, asked=at, as_of=moment, basis=basis)


def history(
    session: Session, entity: Entity, start: date | None, end: date
) -> list[EntityValuation]:
    """One valuation for each day on which the share has a price, oldest first.

    Each stands at the end of its day (23:59:59 UTC). Without `start` it begins with the first day
    on which some definition has a value. Raises `InputError` where `end` is before `start`.
    """
    if start is not None and end < start:
        raise InputError(
            "the period ends before it starts", field="to", value=end, mend="give a later end"
        )
    facts = books.Facts(session, [entity], None)
    book = books.over_time(
        session,
        facts,
        next(iter(facts.entities)),
        None if start is None else _end_of(start),
        _end_of(end),
    )
    days = sorted({quote.at.astimezone(UTC).date() for quote in book.share})
    rows: list[EntityValuation] = []
    for day in days:
        if start is not None and day < start:
            continue
        moment = _end_of(day)
        row = _valuation(book, asked=moment, as_of=moment, basis="disclosed")
        if rows or start is not None or any(found.value is not None for found in row.definitions):
            rows.append(row)
    return rows


def headline(session: Session, entities: Iterable[Entity], *, at: datetime) -> dict[int, Headline]:
    """The figure for lists by entity id, of those that have one; as few queries as for one."""
    facts = books.Facts(session, list(entities), None)
    shown = tuple(definition for definition in DEFINITIONS if definition.id in HEADLINES)
    found: dict[int, Headline] = {}
    for key, (moment, book) in books.at_moments(session, facts, at).items():
        values = {row.id: row.value for row in value(shown, inputs_at(book, moment))}
        for name in HEADLINES:
            number = values[name]
            if number is not None:
                found[key] = Headline(name, number, moment)
                break
    return found


def _valuation(book: Book, *, asked: datetime, as_of: datetime, basis: str) -> EntityValuation:
    inputs = inputs_at(book, as_of)
    quote = book.share.newest(as_of)
    coins = [
        given.as_of
        for name, given in inputs.items()
        if name.startswith("coin_prices.") and isinstance(given, Input)
    ]
    return EntityValuation(
        entity=book.entity,
        asked=asked,
        as_of=as_of,
        basis=basis,
        quote_state=None if quote is None else _state(quote, coins, asked),
        quote_age=None if quote is None else asked - quote.at,
        reason="no price of the share is known" if quote is None else None,
        definitions=tuple(value(DEFINITIONS, inputs)),
    )


def _state(quote: Quote, coins: Iterable[date], asked: datetime) -> QuoteState:
    """The state of the share's market as far as the quote still tells it at `asked`."""
    age = asked - quote.at
    if quote.state is QuoteState.OPEN and age > COIN_MAX_AGE:
        return QuoteState.STALE
    coin_ages = [asked - at for at in coins if isinstance(at, datetime)]
    if age > _CLOSED_AT_MOST or any(old > _COIN_AT_MOST for old in coin_ages):
        return QuoteState.STALE
    return quote.state


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time(23, 59, 59), UTC)
