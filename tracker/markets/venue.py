"""The ports: what a venue of coins and a source of share quotes can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tracker.domain.quote import Quote


@dataclass(frozen=True, slots=True)
class Listing:
    """Where a share trades: the holder's slug, its symbol at the source and its currency."""

    subject: str
    symbol: str
    currency: str | None


class CoinVenue(Protocol):
    """A public venue that gives the dollar price of coins."""

    @property
    def name(self) -> str:
        """The name in the settings and in the list of sources."""
        ...

    def quotes(self, assets: tuple[str, ...], now: datetime) -> list[Quote]:
        """The last trades of `assets` that the venue lists, unchecked.

        `now` is the time of a price whose reply carries none. Raises `SourceUnavailableError`
        where the venue cannot be reached or asks to wait, `ReplyError` for any other answer than
        what was asked for.
        """
        ...


class ShareVenue(Protocol):
    """A public source of share quotes and exchange rates."""

    @property
    def name(self) -> str:
        """The name in the settings and in the list of sources."""
        ...

    def symbol(self, ticker: str, exchange_mic: str) -> str | None:
        """The source's symbol of a listing; None where it does not cover the exchange."""
        ...

    def quote(self, listing: Listing, now: datetime) -> Quote | None:
        """The last trade of a share; None where the source does not know the symbol.

        `now` tells whether its market is open. Raises as `CoinVenue.quotes` does.
        """
        ...

    def rate(self, currency: str, now: datetime) -> Quote | None:
        """US dollars for one unit of `currency`; None where the source does not know it."""
        ...
