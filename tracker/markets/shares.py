"""Share quotes and exchange rates by Yahoo's keyless charts, `GET /v8/finance/chart/{symbol}`.

The endpoint is not documented by Yahoo; what is read here is checked field by field. A share's
time is that of its last regular trade, so that a closed market gives an old price and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote as url_quote

from tracker.domain.money import Money
from tracker.domain.quote import Quote, QuoteState
from tracker.errors import ConfigError, ReplyError
from tracker.markets.fetch import get_json
from tracker.markets.reading import member, number, unix_time
from tracker.markets.venue import Listing, ShareVenue

# Yahoo's suffix of a listing's symbol, by market identifier code (ISO 10383).
SUFFIXES = {
    "XNAS": "", "XNYS": "", "XASE": "", "ARCX": "", "XTKS": ".T", "XHKG": ".HK", "XTSE": ".TO",
    "XTSX": ".V", "XCNQ": ".CN", "NEOE": ".NE", "XLON": ".L", "NEXX": ".AQ", "XPAR": ".PA",
    "ALXP": ".PA", "XAMS": ".AS", "XMAD": ".MC", "XETR": ".DE", "XDUS": ".DU", "XFRA": ".F",
    "XSTO": ".ST", "XNGM": ".ST", "XOSL": ".OL", "XWAR": ".WA", "XASX": ".AX", "BVMF": ".SA",
    "XBUE": ".BA", "XTAE": ".TA", "XIST": ".IS", "XKRX": ".KS", "XKOS": ".KQ", "XBKK": ".BK",
}  # fmt: skip

_PERIODS = {"regular": QuoteState.OPEN, "pre": QuoteState.PRE, "post": QuoteState.POST}
_HONG_KONG_DIGITS = 4
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Yahoo:
    """Yahoo Finance."""

    user_agent: str
    base_url: str = "https://query1.finance.yahoo.com"
    name: str = "yahoo"

    def symbol(self, ticker: str, exchange_mic: str) -> str | None:
        """See `ShareVenue.symbol`."""
        suffix = SUFFIXES.get(exchange_mic)
        if suffix is None:
            return None
        if exchange_mic == "XHKG":
            ticker = ticker.zfill(_HONG_KONG_DIGITS)
        return ticker + suffix

    def quote(self, listing: Listing, now: datetime) -> Quote | None:
        """See `ShareVenue.quote`. A quote in another currency than the listing's is refused."""
        meta = self._meta(listing.symbol)
        if meta is None:
            return None
        price = Money(
            number(self.name, member(self.name, meta, "regularMarketPrice")),
            str(member(self.name, meta, "currency")),
        ).in_major_units()
        if listing.currency is not None and price.currency != listing.currency:
            raise ReplyError(
                f"{self.name} quotes {listing.symbol} in another currency than {listing.currency}",
                field="currency",
                value=price.currency,
                mend="check the entity's currency and exchange",
            )
        at = unix_time(self.name, member(self.name, meta, "regularMarketTime"))
        return Quote(
            subject=listing.subject,
            price=price,
            at=at,
            state=_state(self.name, meta, now),
            source=self.name,
            basis_date=at.date(),
        )

    def rate(self, currency: str, now: datetime) -> Quote | None:
        """See `ShareVenue.rate`."""
        meta = self._meta(f"{currency}USD=X")
        if meta is None:
            return None
        return Quote(
            subject=currency,
            price=Money(number(self.name, member(self.name, meta, "regularMarketPrice")), "USD"),
            at=unix_time(self.name, member(self.name, meta, "regularMarketTime")),
            state=_state(self.name, meta, now),
            source=self.name,
        )

    def _meta(self, symbol: str) -> Mapping[str, Any] | None:
        """The head of the chart of `symbol`; None where Yahoo does not know it."""
        reply = get_json(
            self.name,
            f"{self.base_url}/v8/finance/chart/{url_quote(symbol, safe='')}",
            params={"interval": "1d", "range": "1d"},
            user_agent=self.user_agent,
            allow=(_NOT_FOUND,),
        )
        chart = member(self.name, reply.document, "chart")
        error = member(self.name, chart, "error")
        if error is not None:
            code = error.get("code") if isinstance(error, dict) else None
            if reply.status == _NOT_FOUND and code == "Not Found":
                return None
            raise ReplyError(f"{self.name} refuses", field="error", value=code)
        result = member(self.name, chart, "result")
        if not isinstance(result, list) or len(result) != 1:
            raise ReplyError(f"{self.name} gave not exactly one chart", field="result")
        meta = member(self.name, result[0], "meta")
        named = member(self.name, meta, "symbol")
        if named != symbol:
            raise ReplyError(f"{self.name} answered for another symbol", field=symbol, value=named)
        return dict(meta)


def venues(
    names: Iterable[str], *, user_agent: str, base_urls: Mapping[str, str] | None = None
) -> list[ShareVenue]:
    """The share sources of these names, in order; `base_urls` replaces a source's own address.

    Raises `ConfigError` for a name that is not known.
    """
    found: list[ShareVenue] = []
    for name in names:
        if name != "yahoo":
            raise ConfigError(
                "unknown share source",
                field="TRACKER_SHARE_QUOTE_SOURCES",
                value=name,
                mend="use yahoo, or leave it empty",
            )
        address = (base_urls or {}).get(name)
        found.append(Yahoo(user_agent) if address is None else Yahoo(user_agent, address))
    return found


def _state(source: str, meta: Mapping[str, Any], now: datetime) -> QuoteState:
    """Where the market stands at `now` by the trading periods in the reply; closed without them."""
    periods = meta.get("currentTradingPeriod")
    if periods is None:
        return QuoteState.CLOSED
    for name, state in _PERIODS.items():
        period = member(source, periods, name)
        start = unix_time(source, member(source, period, "start"))
        if start <= now < unix_time(source, member(source, period, "end")):
            return state
    return QuoteState.CLOSED
