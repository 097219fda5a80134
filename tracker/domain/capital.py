"""What an entity reported about itself, each figure carried forward on its own.

Filings rarely state every figure at once, so a valuation takes for each the newest one that was
dated and, as far as known, published at or before its moment, and marks how far it was carried.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

# How old an input may be. A share of Tokyo stands still for up to five days over a long holiday; a
# coin's daily close bridges a weekend in a feed; filings come quarterly, up to 90 days late.
AGE_LIMITS: dict[str, timedelta] = {
    "coin_prices": timedelta(days=3),
    "price": timedelta(days=5),
    "fx": timedelta(days=5),
    "basic_shares": timedelta(days=200),
    "debt": timedelta(days=200),
    "preferred": timedelta(days=200),
    "cash": timedelta(days=200),
    "holdings": timedelta(days=200),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One reported number: shares on the split basis of `basis_date`, USD, or whole coins.

    `complete` is false where the source counts a part only (one share class). `published_at` is
    None where it is not known when the filer said it.
    """

    value: Decimal
    as_of: date
    source: str
    published_at: datetime | None = None
    basis_date: date | None = None
    complete: bool = True
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why a number is not there."""

    reason: str


def carried(
    figures: Iterable[Figure], at: datetime, limit: timedelta, *, zero_lasts: bool = False
) -> Figure | Unknown:
    """The newest complete figure known at `at`, from `figures` sorted newest first.

    An incomplete figure never stands in for a complete one. `zero_lasts`: a stated 0 does not age
    (a holder that sold everything years ago still has none).
    """
    partial: Figure | None = None
    for figure in figures:
        if figure.as_of > at.date() or (figure.published_at and figure.published_at > at):
            continue
        if not figure.complete:
            partial = partial or figure
            continue
        age = at.date() - figure.as_of
        if age > limit and not (zero_lasts and figure.value == 0):
            return Unknown(f"stale: {age.days} days > {limit.days} (as of {figure.as_of})")
        return figure
    if partial is not None:
        note = f": {partial.note}" if partial.note else ""
        return Unknown(f"only an incomplete figure is known, as of {partial.as_of}{note}")
    return Unknown("unknown")
