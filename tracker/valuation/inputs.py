"""The inputs of a valuation at a moment, out of all that is known of one entity. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tracker.domain.capital import AGE_LIMITS, Figure, Unknown, carried
from tracker.domain.quote import History, Quote
from tracker.domain.splits import CorporateAction, factor, rebase_shares
from tracker.domain.valuation import Input

# Capital fields as stored, and the input that each becomes.
MONEY_FIELDS = {"debt_usd": "debt", "preferred_usd": "preferred", "cash_usd": "cash"}


@dataclass(frozen=True, slots=True)
class Book:
    """Everything known of one entity that a valuation may use; figures are newest first.

    `holdings` by asset in whole coins, `figures` by stored capital field, `fx` for the currency of
    the share (None for dollars).
    """

    entity: str
    holdings: Mapping[str, tuple[Figure, ...]]
    figures: Mapping[str, tuple[Figure, ...]]
    actions: tuple[CorporateAction, ...]
    share: History
    coins: Mapping[str, History]
    fx: Mapping[str, History] = field(default_factory=dict)


def inputs_at(book: Book, at: datetime) -> dict[str, Input | Unknown]:
    """Each input as known at `at`, or why it is not; none is dated after `at`."""
    found: dict[str, Input | Unknown] = {}
    quote = book.share.newest(at)
    found["price"] = _quoted("price", quote, at, None if quote is None else quote.price.currency)
    if quote is not None and quote.price.currency != "USD":
        currency = quote.price.currency
        rate = book.fx[currency].newest(at) if currency in book.fx else None
        found["fx"] = _quoted("fx", rate, at, f"USD per {currency}")
    found["basic_shares"] = _shares(book, quote, at)
    for stored, name in MONEY_FIELDS.items():
        found[name] = _reported(name, book.figures.get(stored, ()), at, "USD")
    for asset, figures in book.holdings.items():
        name = f"holdings.{asset}"
        found[name] = _reported(name, figures, at, asset)
        coin = book.coins[asset].newest(at) if asset in book.coins else None
        found[f"coin_prices.{asset}"] = _quoted(f"coin_prices.{asset}", coin, at, "USD")
    return found


def required_quotes(book: Book, at: datetime) -> Iterator[tuple[str, Quote | None]]:
    """The quotes that every value of `book` rests on: the share's, the coins' held, the rate's.

    Each comes with the name of its age limit.
    """
    share = book.share.newest(at)
    yield "price", share
    if share is not None and share.price.currency != "USD":
        rates = book.fx.get(share.price.currency)
        yield "fx", None if rates is None else rates.newest(at)
    for asset, figures in book.holdings.items():
        held = carried(figures, at, AGE_LIMITS["holdings"], zero_lasts=True)
        if isinstance(held, Figure) and held.value:
            yield "coin_prices", book.coins[asset].newest(at) if asset in book.coins else None


def fresh(name: str, quote: Quote, at: datetime) -> bool:
    """Whether a quote is within the age limit of the input `name`."""
    return at - quote.at <= AGE_LIMITS[name]


def _quoted(name: str, quote: Quote | None, at: datetime, unit: str | None) -> Input | Unknown:
    if quote is None:
        return Unknown("unknown")
    if not fresh(name.partition(".")[0], quote, at):
        limit = AGE_LIMITS[name.partition(".")[0]]
        age = (at - quote.at).days
        return Unknown(f"stale: {age} days > {limit.days} (as of {quote.at:%Y-%m-%d})")
    return Input(
        name=name,
        value=quote.price.amount,
        unit=unit or quote.price.currency,
        as_of=quote.at,
        source=quote.source,
        carried_days=(at.date() - quote.at.date()).days,
    )


def _reported(name: str, figures: tuple[Figure, ...], at: datetime, unit: str) -> Input | Unknown:
    kind = name.partition(".")[0]
    figure = carried(figures, at, AGE_LIMITS[kind], zero_lasts=kind == "holdings")
    if isinstance(figure, Unknown):
        return figure
    return Input(
        name=name,
        value=figure.value,
        unit=unit,
        as_of=figure.as_of,
        source=figure.source,
        carried_days=(at.date() - figure.as_of).days,
        note=figure.note,
    )


def _shares(book: Book, quote: Quote | None, at: datetime) -> Input | Unknown:
    """The basic share count on the split basis of the quote that it will meet."""
    figure = carried(book.figures.get("basic_shares", ()), at, AGE_LIMITS["basic_shares"])
    if isinstance(figure, Unknown):
        return figure
    counted_on = figure.basis_date or figure.as_of
    priced_on = at.date() if quote is None else quote.basis_date or quote.at.date()
    by = factor(book.actions, counted_on, priced_on)
    return Input(
        name="basic_shares",
        value=rebase_shares(figure.value, by),
        unit="shares",
        as_of=figure.as_of,
        source=figure.source,
        carried_days=(at.date() - figure.as_of).days,
        note=None
        if by == 1
        else f"{figure.value:f} x {by} brings it from the split basis of {counted_on} to that of "
        f"the price ({priced_on})",
    )
