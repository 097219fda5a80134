"""Venues of coins, by their keyless public tickers.

Endpoints (each documented by its venue): Coinbase Exchange `GET /products/{id}/ticker`, Kraken
`GET /0/public/Ticker`, Bitstamp `GET /api/v2/ticker/{pair}/`, Binance `GET /api/v3/ticker/24hr`,
CoinGecko `GET /api/v3/simple/price`. Binance quotes in USDT, which is taken for a dollar: the
median of the venues leaves it out where it is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tracker.domain.money import Money
from tracker.domain.quote import Quote, QuoteState
from tracker.errors import ConfigError, ReplyError, SourceUnavailableError
from tracker.markets.fetch import get_json
from tracker.markets.reading import member, number, unix_time
from tracker.markets.venue import CoinVenue


@dataclass(frozen=True, slots=True)
class _Ticker:
    """What the replies of a venue have in common once they are read."""

    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class TickerVenue:
    """A venue with one ticker for each coin: `path` and `params` take the pair's name."""

    name: str
    base_url: str
    user_agent: str
    pairs: dict[str, str]
    path: str
    params: tuple[tuple[str, str], ...]
    read: Callable[[str, Any, datetime], _Ticker]

    def quotes(self, assets: tuple[str, ...], now: datetime) -> list[Quote]:
        """One request a coin; see `CoinVenue.quotes`."""
        found: list[Quote] = []
        for asset in assets:
            pair = self.pairs.get(asset)
            if pair is None:
                continue
            reply = get_json(
                self.name,
                self.base_url + self.path.format(pair=pair),
                params={key: text.format(pair=pair) for key, text in self.params},
                user_agent=self.user_agent,
            )
            ticker = self.read(self.name, reply.document, now)
            found.append(_quote(self.name, asset, ticker))
        return found


@dataclass(frozen=True, slots=True)
class CoinGecko:
    """An aggregator with one request for all coins."""

    base_url: str
    user_agent: str
    name: str = "coingecko"

    def quotes(self, assets: tuple[str, ...], now: datetime) -> list[Quote]:
        """See `CoinVenue.quotes`."""
        ids = {asset: _COINGECKO_IDS[asset] for asset in assets if asset in _COINGECKO_IDS}
        reply = get_json(
            self.name,
            self.base_url + "/api/v3/simple/price",
            params={
                "ids": ",".join(ids.values()),
                "vs_currencies": "usd",
                "include_last_updated_at": "true",
                "precision": "full",
            },
            user_agent=self.user_agent,
        )
        found: list[Quote] = []
        for asset, coin in ids.items():
            entry = member(self.name, reply.document, coin)
            stamp = entry.get("last_updated_at") if isinstance(entry, dict) else None
            at = now if stamp is None else unix_time(self.name, stamp)
            price = number(self.name, member(self.name, entry, "usd"))
            found.append(_quote(self.name, asset, _Ticker(price, at)))
        return found


def venues(
    names: Iterable[str], *, user_agent: str, base_urls: dict[str, str] | None = None
) -> list[CoinVenue]:
    """The venues of these names, in order; `base_urls` replaces a venue's own address.

    Raises `ConfigError` for a name that is not known.
    """
    addresses = _BASE_URLS | (base_urls or {})
    found: list[CoinVenue] = []
    for name in names:
        if name not in addresses:
            raise ConfigError(
                "unknown coin venue",
                field="TRACKER_COIN_QUOTE_SOURCES",
                value=name,
                mend=f"use some of {', '.join(_BASE_URLS)}",
            )
        if name == "coingecko":
            found.append(CoinGecko(addresses[name], user_agent))
            continue
        pairs, path, params, read = _TICKERS[name]
        found.append(TickerVenue(name, addresses[name], user_agent, pairs, path, params, read))
    return found


def _coinbase(name: str, document: Any, _now: datetime) -> _Ticker:
    text = member(name, document, "time")
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        raise ReplyError(f"{name} gave no time", field="time", value=text) from None
    if at.tzinfo is None:
        raise ReplyError(f"{name} gave a time without a zone", field="time", value=text)
    return _Ticker(number(name, member(name, document, "price")), at)


def _kraken(name: str, document: Any, now: datetime) -> _Ticker:
    # Kraken answers 200 with a list of errors, so the list is read whatever the status says.
    errors = member(name, document, "error")
    if errors:
        text = ", ".join(str(error) for error in errors) if isinstance(errors, list) else errors
        if "limit" in str(text).lower() or "EService" in str(text):
            raise SourceUnavailableError(f"{name} refuses for now", field="error", value=text)
        raise ReplyError(f"{name} refuses", field="error", value=text)
    result = member(name, document, "result")
    if not isinstance(result, dict) or len(result) != 1:
        raise ReplyError(f"{name} gave not exactly one pair", field="result")
    last = member(name, next(iter(result.values())), "c")
    if not isinstance(last, list) or not last:
        raise ReplyError(f"{name} gave no last trade", field="c")
    return _Ticker(number(name, last[0]), now)


def _bitstamp(name: str, document: Any, _now: datetime) -> _Ticker:
    return _Ticker(
        number(name, member(name, document, "last")),
        unix_time(name, member(name, document, "timestamp")),
    )


def _binance(name: str, document: Any, _now: datetime) -> _Ticker:
    stamp = number(name, member(name, document, "closeTime"))  # milliseconds
    return _Ticker(number(name, member(name, document, "lastPrice")), unix_time(name, stamp / 1000))


_COINGECKO_IDS = {"BTC": "bitcoin", "ETH": "ethereum"}

_BASE_URLS = {
    "coinbase": "https://api.exchange.coinbase.com",
    "kraken": "https://api.kraken.com",
    "bitstamp": "https://www.bitstamp.net",
    "binance": "https://api.binance.com",
    "coingecko": "https://api.coingecko.com",
}

_TICKERS: dict[
    str,
    tuple[
        dict[str, str],
        str,
        tuple[tuple[str, str], ...],
        Callable[[str, Any, datetime], _Ticker],
    ],
] = {
    "coinbase": ({"BTC": "BTC-USD", "ETH": "ETH-USD"}, "/products/{pair}/ticker", (), _coinbase),
    "kraken": (
        {"BTC": "XBTUSD", "ETH": "ETHUSD"},
        "/0/public/Ticker",
        (("pair", "{pair}"),),
        _kraken,
    ),
    "bitstamp": ({"BTC": "btcusd", "ETH": "ethusd"}, "/api/v2/ticker/{pair}/", (), _bitstamp),
    "binance": (
        {"BTC": "BTCUSDT", "ETH": "ETHUSDT"},
        "/api/v3/ticker/24hr",
        (("symbol", "{pair}"),),
        _binance,
    ),
}


def _quote(venue: str, asset: str, ticker: _Ticker) -> Quote:
    return Quote(asset, Money(ticker.price, "USD"), ticker.at, QuoteState.OPEN, venue)
