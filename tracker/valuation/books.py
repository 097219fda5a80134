"""Load what valuations need, a few queries for any number of entities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction

from sqlmodel import Session

from tracker.db.facts import Capital, Disclosure
from tracker.db.registry import Entity
from tracker.domain.capital import AGE_LIMITS, Figure
from tracker.domain.quote import History, Quote
from tracker.domain.splits import CorporateAction
from tracker.domain.units import to_quantity
from tracker.facts import repository
from tracker.facts.prices import repository as prices
from tracker.valuation.inputs import Book, fresh, required_quotes

# Measures that count coins an entity has, in the order in which they are believed: `total` where
# there is one, else a figure that is rounded or counts a little more than the coins themselves.
POSITION_MEASURES = (
    "total",
    "approximate",
    "total_with_managed_fund",
    "total_with_pledged",
    "total_with_options",
    "native_plus_lst_units",
)

_TRADED = ("close", "live")
_CARRIED = max(AGE_LIMITS[name] for name in ("price", "fx", "coin_prices"))
_BEGINNING = datetime(2009, 1, 3, tzinfo=UTC)  # no bitcoin, no price of it, before that


class Facts:
    """Reported figures of some entities, by entity id, without any price."""

    def __init__(
        self, session: Session, entities: Sequence[Entity], known_at: datetime | None
    ) -> None:
        ids = [entity.id for entity in entities if entity.id is not None]
        self.entities = {entity.id: entity for entity in entities if entity.id is not None}
        self.holdings = _holdings(
            repository.totals(
                session, entity_ids=ids, measures=POSITION_MEASURES, known_at=known_at
            )
        )
        self.figures = _figures(repository.capital(session, entity_ids=ids, known_at=known_at))
        self.actions: dict[int, list[CorporateAction]] = defaultdict(list)
        # Every currency but the dollar that one of the entities' shares trades in.
        self.currencies = {e.currency for e in self.entities.values() if e.currency} - {"USD"}
        for row in repository.actions(session, entity_ids=ids):
            ratio = Fraction(row.numerator, row.denominator)
            self.actions[row.entity_id].append(CorporateAction(row.effective, row.kind, ratio))

    def book(self, entity_id: int, prices: Mapping[str, History]) -> Book:
        """The book of one entity; `prices` holds histories of shares, coins and currencies."""
        held = self.holdings.get(entity_id, {})
        slug = self.entities[entity_id].slug
        return Book(
            entity=slug,
            holdings=held,
            figures=self.figures.get(entity_id, {}),
            actions=tuple(self.actions.get(entity_id, ())),
            share=prices.get(slug, History(())),
            coins={asset: prices[asset] for asset in held if asset in prices},
            fx={name: prices[name] for name in self.currencies if name in prices},
        )


def at_moments(
    session: Session,
    facts: Facts,
    at: datetime,
    *,
    known_at: datetime | None = None,
    fall_back: bool = True,
) -> dict[int, tuple[datetime, Book]]:
    """For each entity the moment that can be valued, at or before `at`, and its book.

    The moment is `at` where every quote needed is within its age limit. Else, and only with
    `fall_back`, it is the newest moment at which all of them were: that of the oldest quote.
    """
    loaded = _Loaded(session, known_at)
    loaded.load({(kind, slug, at) for kind, slug in _subjects(facts, facts.entities)})
    moments: dict[int, datetime] = {}
    for key in facts.entities:
        book = facts.book(key, loaded.histories)
        moments[key] = _valued_moment(book, at) if fall_back else at
    earlier: set[tuple[str, str, datetime]] = set()
    for key, moment in moments.items():
        if moment != at:
            earlier |= {(kind, subject, moment) for kind, subject in _subjects(facts, [key])}
    loaded.load(earlier)
    return {key: (moment, facts.book(key, loaded.histories)) for key, moment in moments.items()}


def over_time(
    session: Session, facts: Facts, entity_id: int, start: datetime | None, end: datetime
) -> Book:
    """The book of one entity with the last price of every UTC day from `start` to `end`.

    Some days before `start` are there too, for the prices carried into it.
    """
    first = _BEGINNING if start is None else start - _CARRIED
    points: dict[str, list[Quote]] = defaultdict(list)
    for kind, subject in _subjects(facts, [entity_id]):
        for point in prices.price_series(session, kind, subject, first, end):
            points[subject].append(point.quote())
    return facts.book(entity_id, {subject: History(found) for subject, found in points.items()})


def _subjects(facts: Facts, entity_ids: Iterable[int]) -> set[tuple[str, str]]:
    """(kind, subject) of every price that values these entities."""
    wanted: set[tuple[str, str]] = set()
    for key in entity_ids:
        names = {facts.entities[key].slug, *facts.holdings.get(key, {})}
        wanted |= {(kind, name) for name in names for kind in _TRADED}
    return wanted | {("fx", currency) for currency in facts.currencies}


class _Loaded:
    """Prices as of some instants, gathered over several loads."""

    def __init__(self, session: Session, known_at: datetime | None) -> None:
        self._session = session
        self._known_at = known_at
        self._quotes: dict[str, dict[datetime, Quote]] = defaultdict(dict)
        self.histories: dict[str, History] = {}

    def load(self, wanted: Collection[tuple[str, str, datetime]]) -> None:
        """Add the newest price at or before each (kind, subject, instant)."""
        found = prices.prices_as_of(self._session, wanted, known_at=self._known_at)
        for point in found.values():
            self._quotes[point.subject].setdefault(point.at, point.quote())
        self.histories = {name: History(at.values()) for name, at in self._quotes.items()}


def _valued_moment(book: Book, at: datetime) -> datetime:
    """`at`, or the time of the oldest quote needed where one is beyond its age limit."""
    oldest = at
    moved = False
    for name, quote in required_quotes(book, at):
        if quote is None:
            return at
        moved = moved or not fresh(name, quote, at)
        oldest = min(oldest, quote.at)
    return oldest if moved else at


def _holdings(rows: Iterable[Disclosure]) -> dict[int, dict[str, tuple[Figure, ...]]]:
    """Totals by entity and asset, of the best measure that there is, newest first."""
    by_measure: dict[tuple[int, str], dict[str, list[Figure]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        if row.amount is not None:
            by_measure[row.entity_id, row.asset][row.measure].append(
                Figure(
                    value=to_quantity(row.amount, row.asset),
                    as_of=row.as_of,
                    source=row.source,
                    published_at=row.published_at,
                    note=None if row.measure == "total" else f"measure: {row.measure}",
                )
            )
    found: dict[int, dict[str, tuple[Figure, ...]]] = defaultdict(dict)
    for (entity_id, asset), measures in by_measure.items():
        best = min(measures, key=POSITION_MEASURES.index)
        found[entity_id][asset] = tuple(measures[best])
    return found


def _figures(rows: Iterable[Capital]) -> dict[int, dict[str, tuple[Figure, ...]]]:
    found: dict[int, dict[str, list[Figure]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row.entity_id][row.field].append(
            Figure(
                value=row.value,
                as_of=row.as_of,
                source=row.source,
                published_at=row.published_at,
                basis_date=row.basis_date,
                complete=row.complete,
                note=None if row.complete else row.note,
            )
        )
    return {
        entity_id: {field: tuple(figures) for field, figures in fields.items()}
        for entity_id, fields in found.items()
    }
