"""Money in a currency, and its one conversion into US dollars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tracker.errors import InputError

# Feeds quote some listings in hundredths of the currency under a code of their own.
_MINOR_UNITS = {"GBp": "GBP", "GBX": "GBP", "ILA": "ILS", "ZAc": "ZAR"}


@dataclass(frozen=True, slots=True)
class Money:
    """`amount` units of `currency` (ISO 4217 code; USD where it says so in the name)."""

    amount: Decimal
    currency: str

    def in_major_units(self) -> Money:
        """The same money in whole units: pence (`GBp`) as pounds, agorot (`ILA`) as shekels."""
        major = _MINOR_UNITS.get(self.currency)
        return self if major is None else Money(self.amount / 100, major)


@dataclass(frozen=True, slots=True)
class FxRate:
    """`usd_per_unit` US dollars for one unit of `currency`, as it stood at `as_of`."""

    currency: str
    usd_per_unit: Decimal
    as_of: date
    source: str


def to_usd(money: Money, rate: FxRate | None) -> Money:
    """`money` in US dollars.

    Dollars need no rate and are never multiplied by one, so that converting twice is impossible.
    Raises `InputError` without a rate, or with one of another currency.
    """
    if money.currency == "USD":
        return money
    if rate is None or rate.currency != money.currency:
        raise InputError(
            f"no dollar rate for {money.currency}",
            field="fx",
            value=None if rate is None else rate.currency,
            mend=f"give the dollars that one {money.currency} buys",
        )
    return Money(money.amount * rate.usd_per_unit, "USD")
