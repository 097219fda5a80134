"""Share counts on one split basis.

A count or a price stands on the basis of a day: after every split that was effective on or before
it. Price times count is only right where both stand on one basis; a count of before a 10-for-1
split times a split-adjusted close is wrong by ten.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """`ratio` new shares for one old from `effective` on, the first day traded on the new basis."""

    effective: date
    kind: str
    ratio: Fraction


def factor(actions: Iterable[CorporateAction], start: date, end: date) -> Fraction:
    """Shares on the basis of `end` for one share on the basis of `start`; either may be later."""
    if start > end:
        return 1 / factor(actions, end, start)
    found = Fraction(1)
    for action in actions:
        if start < action.effective <= end:
            found *= action.ratio
    return found


def rebase_shares(count: Decimal, by: Fraction) -> Decimal:
    """A share count brought to another basis by its `factor`."""
    return count * by.numerator / by.denominator


def rebase_price(price: Decimal, by: Fraction) -> Decimal:
    """A share price brought to another basis by its `factor`: more shares, each worth less."""
    return price * by.denominator / by.numerator
