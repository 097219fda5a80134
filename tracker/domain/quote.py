"""Quotes: what makes one believable, how several become one, which stood at a moment. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from statistics import median

from tracker.domain.money import Money
from tracker.errors import ReplyError

# A venue's clock may run this much ahead of ours.
CLOCK_TOLERANCE = timedelta(seconds=60)
# A coin trades at every moment: an older last trade means that the venue lags.
COIN_MAX_AGE = timedelta(minutes=10)
# No quote moves by more than this factor against a known price of the last days. Small shares did
# move fivefold in a day (SharpLink, BitMine 2025), so the guard lapses rather than holds for ever.
ABSURD_FACTOR = 5
ABSURD_WINDOW = timedelta(days=3)

# Wider than any real price, and what the price column can hold.
_MIN_PRICE, _MAX_PRICE = Decimal("1e-9"), Decimal("1e15")

# 1.4826 makes the median absolute deviation comparable to a standard deviation of a normal law.
_MAD_SCALE = Decimal("1.4826")
_MAD_LIMIT = 4
# Venues differ by some basis points for honest reasons: a deviation below this is no outlier.
_TOLERATED_SPREAD = Decimal("0.005")
# Where what is left still differs by this much, nobody knows the price.
_MAX_SPREAD = Decimal("0.10")


class QuoteState(StrEnum):
    """Where the market stood when the price was made."""

    OPEN = "open"
    PRE = "pre"
    POST = "post"
    CLOSED = "closed"
    HALTED = "halted"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Quote:
    """The price of `subject` at an instant. `basis_date` is the split basis of a share price."""

    subject: str
    price: Money
    at: datetime
    state: QuoteState
    source: str
    basis_date: date | None = None


@dataclass(frozen=True, slots=True)
class Consensus:
    """The median price of the quotes that agree, with the names of those that do not."""

    quote: Quote
    rejected: tuple[str, ...]


def check(quote: Quote, *, now: datetime, last: Quote | None = None) -> Quote:
    """`quote` itself where it can be believed.

    Raises `ReplyError` for a price that is not well above 0, comes from the future, or is more than
    `ABSURD_FACTOR` off the `last` known one (same currency and split basis) of the last days.
    """
    amount = quote.price.amount
    if not amount.is_finite() or not _MIN_PRICE <= amount <= _MAX_PRICE:
        raise ReplyError(
            f"{quote.source} gave a price that cannot be", field=quote.subject, value=amount
        )
    if quote.at > now + CLOCK_TOLERANCE:
        raise ReplyError(
            f"{quote.source} gave a price from the future",
            field=quote.subject,
            value=quote.at.isoformat(),
            mend="check the clock of this machine",
        )
    if last is not None and quote.at - last.at <= ABSURD_WINDOW:
        if quote.price.currency != last.price.currency:
            raise ReplyError(
                f"{quote.source} quotes in another currency than {last.price.currency}",
                field=quote.subject,
                value=quote.price.currency,
            )
        known = last.price.amount
        if amount > known * ABSURD_FACTOR or amount * ABSURD_FACTOR < known:
            raise ReplyError(
                f"{quote.source} gave a price more than {ABSURD_FACTOR} times off the last "
                f"known {known}",
                field=quote.subject,
                value=amount,
            )
    return quote


def consensus(quotes: Sequence[Quote]) -> Consensus:
    """One quote of several venues' for one subject and currency: the median without the outliers.

    An outlier lies more than four scaled median absolute deviations, and at least 0.5 %, from the
    median of all. The instant is the newest of those used. Raises `ReplyError` where none is given
    or where those left differ by more than 10 %: two venues that disagree give no price.
    """
    if not quotes:
        raise ReplyError("no venue gave a price", field="price")
    centre = median(quote.price.amount for quote in quotes)
    deviation = median(abs(quote.price.amount - centre) for quote in quotes)
    allowed = max(_MAD_LIMIT * _MAD_SCALE * deviation, centre * _TOLERATED_SPREAD)
    used = [quote for quote in quotes if abs(quote.price.amount - centre) <= allowed]
    prices = [quote.price.amount for quote in used]
    if not used or max(prices) - min(prices) > centre * _MAX_SPREAD:
        raise ReplyError(
            "the venues disagree",
            field=quotes[0].subject,
            value=", ".join(f"{quote.source} {quote.price.amount}" for quote in quotes),
        )
    names = {quote.source for quote in used}
    return Consensus(
        Quote(
            subject=used[0].subject,
            price=Money(median(prices), used[0].price.currency),
            at=max(quote.at for quote in used),
            state=QuoteState.OPEN,
            source=f"median of {', '.join(sorted(names))}",
        ),
        tuple(sorted({quote.source for quote in quotes} - names)),
    )


class History:
    """Quotes of one subject in time, for asking which was the newest at a moment."""

    __slots__ = ("_quotes", "_times")

    def __init__(self, quotes: Iterable[Quote]) -> None:
        self._quotes = sorted(quotes, key=lambda quote: quote.at)
        self._times = [quote.at for quote in self._quotes]

    def newest(self, at: datetime) -> Quote | None:
        """The newest quote at or before `at`, however old; None where there is none."""
        index = bisect_right(self._times, at)
        return self._quotes[index - 1] if index else None

    def __iter__(self) -> Iterator[Quote]:
        return iter(self._quotes)

    def __len__(self) -> int:
        return len(self._quotes)
