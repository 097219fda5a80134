"""Which shares to ask for at a poll, and what was last known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from sqlmodel import Session

from tracker.domain.money import Money
from tracker.domain.quote import Quote
from tracker.domain.splits import CorporateAction, factor, rebase_price
from tracker.facts import repository
from tracker.facts.prices.repository import prices_as_of
from tracker.markets.venue import Listing, ShareVenue
from tracker.registry.repository import entities_by_id

# Keyless endpoints are asked gently: so many shares a poll, the others have their turn next.
SHARES_A_POLL = 12


@dataclass(frozen=True, slots=True)
class Plan:
    """The shares to ask of each source by its name, and the currencies that they need."""

    listings: Mapping[str, Sequence[Listing]]
    currencies: tuple[str, ...]
    actions: Mapping[str, Sequence[CorporateAction]]


def plan(
    session: Session, venues: Sequence[ShareVenue], now: datetime, poll_seconds: float
) -> Plan:
    """The next shares in turn, out of those of enabled entities whose share count is known."""
    counted = repository.counted_entities(session)
    entities = entities_by_id(session, counted)
    listings: dict[str, list[Listing]] = {}
    slugs: dict[int, str] = {}
    currencies: set[str] = set()
    for venue in venues:
        listed: list[Listing] = []
        for key in counted:
            entity = entities[key]
            if not (entity.enabled and entity.ticker and entity.exchange_mic):
                continue
            symbol = venue.symbol(entity.ticker, entity.exchange_mic)
            if symbol is not None:
                listed.append(Listing(entity.slug, symbol, entity.currency or None))
                slugs[key] = entity.slug
        listings[venue.name] = in_turn(listed, now, poll_seconds)
        currencies |= {item.currency for item in listings[venue.name] if item.currency}
    actions: dict[str, list[CorporateAction]] = {}
    for row in repository.actions(session, entity_ids=list(slugs)):
        actions.setdefault(slugs[row.entity_id], []).append(
            CorporateAction(row.effective, row.kind, Fraction(row.numerator, row.denominator))
        )
    return Plan(listings, tuple(sorted(currencies - {"USD"})), actions)


def last_known(
    session: Session, planned: Plan, assets: Sequence[str], now: datetime
) -> dict[str, Quote]:
    """The newest stored quote of each coin, share and currency, shares on today's split basis."""
    shares = {item.subject for listed in planned.listings.values() for item in listed}
    wanted = {(kind, name, now) for name in (*assets, *shares) for kind in ("close", "live")}
    wanted |= {("fx", currency, now) for currency in planned.currencies}
    found: dict[str, Quote] = {}
    for point in prices_as_of(session, wanted).values():
        quote = point.quote()
        if point.subject not in found or found[point.subject].at < quote.at:
            found[point.subject] = _today(quote, planned.actions.get(point.subject, ()), now)
    return found


def _today(quote: Quote, actions: Sequence[CorporateAction], now: datetime) -> Quote:
    if quote.basis_date is None or not actions:
        return quote
    by = factor(actions, quote.basis_date, now.date())
    price = Money(rebase_price(quote.price.amount, by), quote.price.currency)
    return Quote(quote.subject, price, quote.at, quote.state, quote.source, now.date())


def in_turn(listed: Sequence[Listing], now: datetime, poll_seconds: float) -> list[Listing]:
    """The part of `listed` whose turn it is at `now`; a few polls go through all of it."""
    if len(listed) <= SHARES_A_POLL:
        return list(listed)
    start = int(now.timestamp() / poll_seconds) * SHARES_A_POLL % len(listed)
    return [*listed[start:], *listed[:start]][:SHARES_A_POLL]
