"""Venues over real HTTP: recorded replies are read, errors of every form are told apart."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.data import shared_data
from tests.http_server import Response, serving
from tracker.domain.quote import Quote, QuoteState
from tracker.errors import ConfigError, ReplyError, SourceUnavailableError
from tracker.markets import coins, shares
from tracker.markets.fetch import get_json
from tracker.markets.shares import Yahoo
from tracker.markets.venue import Listing

AGENT = "tests/1"
NOW = datetime(2026, 10, 3, 8, 17, 14, tzinfo=UTC)


def recorded(name: str) -> Any:
    return json.loads((shared_data() / "prices" / name).read_text())


def ask(venue: str, response: Response, assets: tuple[str, ...] = ("BTC",)) -> list[Quote]:
    asked: list[tuple[str, dict[str, str]]] = []

    def answer(path: str, query: dict[str, str]) -> Response:
        asked.append((path, query))
        return response

    with serving(answer) as url:
        (found,) = coins.venues([venue], user_agent=AGENT, base_urls={venue: url})
        quotes = found.quotes(assets, NOW)
    assert asked
    return quotes


# -- recorded and documented replies -------------------------------------------------------------


def test_bitstamp_recorded() -> None:
    body = recorded("api/bitstamp_recorded.json")[0]["body"]
    (quote,) = ask("bitstamp", Response(body))
    assert quote.price.amount == Decimal("2211.00")
    assert quote.at == datetime.fromtimestamp(1643640186, UTC)
    assert (quote.subject, quote.price.currency, quote.source) == ("BTC", "USD", "bitstamp")


def test_binance_recorded() -> None:
    (body,) = [
        row["body"]
        for row in recorded("api/binance_spot_recorded.json")
        if row["path"] == "/api/v3/ticker/24hr" and row["query"] == "symbol=BTCUSDT"
    ]
    (quote,) = ask("binance", Response(body))
    assert quote.price.amount == Decimal("6705.82")
    assert quote.at == datetime.fromtimestamp(1586991278.494, UTC)


def test_kraken_documented() -> None:
    body = recorded("api/quote_examples.json")[0]["body"]
    (quote,) = ask("kraken", Response(body))
    assert quote.price.amount == Decimal("30303.2")
    assert quote.at == NOW  # the ticker carries no time


def test_coingecko_recorded_without_a_time() -> None:
    body = recorded("api/coingecko_simple.json")["simple_price_response"]
    (quote,) = ask("coingecko", Response(body))
    assert quote.price.amount == 42317
    assert quote.at == NOW


def test_coingecko_gives_both_coins_in_one_request() -> None:
    body = {
        "bitcoin": {"usd": 84613.160000000003, "last_updated_at": 1791015434},
        "ethereum": {"usd": 3100.5, "last_updated_at": 1791015430},
    }
    bitcoin, ether = ask("coingecko", Response(body), ("BTC", "ETH"))
    assert (bitcoin.subject, ether.subject) == ("BTC", "ETH")
    assert ether.at == datetime.fromtimestamp(1791015430, UTC)


def test_coinbase() -> None:
    body = {"trade_id": 1, "price": "84613.16", "time": "2026-10-03T08:17:13.1Z", "size": "0.1"}
    (quote,) = ask("coinbase", Response(body))
    assert quote.price.amount == Decimal("84613.16")
    assert quote.at == datetime(2026, 10, 3, 8, 17, 13, 100000, tzinfo=UTC)


def yahoo(response: Response, listing: Listing, now: datetime = NOW) -> Quote | None:
    with serving(lambda _path, _query: response) as url:
        return Yahoo(AGENT, url).quote(listing, now)


def chart(index: int) -> Any:
    return recorded("api/yahoo_v8_chart_recorded.json")[index]["response"]["bodyJson"]


def test_yahoo_recorded_share() -> None:
    quote = yahoo(Response(chart(1)), Listing("air-france", "AFRAF", "USD"))
    assert quote is not None
    assert quote.price.amount == Decimal("13.38")
    assert quote.at == datetime(2026, 10, 2, 20, 0, tzinfo=UTC)
    assert quote.state is QuoteState.CLOSED
    assert quote.basis_date == quote.at.date()


@pytest.mark.parametrize(
    ("hour", "state"),
    [(7, QuoteState.PRE), (15, QuoteState.OPEN), (21, QuoteState.POST), (23, QuoteState.CLOSED)],
)
def test_yahoo_says_where_the_market_stands(hour: int, state: QuoteState) -> None:
    body = chart(1)
    day = datetime(2026, 10, 2, tzinfo=UTC)
    body["chart"]["result"][0]["meta"]["currentTradingPeriod"] = {
        name: {
            "start": int(day.replace(hour=first).timestamp()),
            "end": int(day.replace(hour=last).timestamp()),
        }
        for name, first, last in (("pre", 6, 13), ("regular", 13, 20), ("post", 20, 22))
    }
    quote = yahoo(Response(body), Listing("x", "AFRAF", "USD"), day.replace(hour=hour))
    assert quote is not None
    assert quote.state is state


def test_yahoo_gives_london_prices_in_pounds() -> None:
    body = chart(1)
    body["chart"]["result"][0]["meta"] |= {"currency": "GBp", "symbol": "SWC.L"}
    quote = yahoo(Response(body), Listing("smarter-web-company", "SWC.L", "GBP"))
    assert quote is not None
    assert (quote.price.amount, quote.price.currency) == (Decimal("0.1338"), "GBP")


def test_yahoo_gives_an_exchange_rate() -> None:
    body = chart(1)
    body["chart"]["result"][0]["meta"] |= {"symbol": "JPYUSD=X", "regularMarketPrice": 0.0066}
    with serving(lambda _path, _query: Response(body)) as url:
        quote = Yahoo(AGENT, url).rate("JPY", NOW)
    assert quote is not None
    assert (quote.subject, quote.price.amount) == ("JPY", Decimal("0.0066"))


@pytest.mark.parametrize(
    ("ticker", "mic", "symbol"),
    [
        ("MSTR", "XNAS", "MSTR"),
        ("3350", "XTKS", "3350.T"),
        ("434", "XHKG", "0434.HK"),
        ("SWC", "XLON", "SWC.L"),
        ("H100", "XNGM", "H100.ST"),
        ("NOBODY", "XADS", None),
    ],
)
def test_yahoo_symbols(ticker: str, mic: str, symbol: str | None) -> None:
    assert Yahoo(AGENT).symbol(ticker, mic) == symbol


# -- errors --------------------------------------------------------------------------------------

PAGE = Response(b"<!doctype html><title>One moment</title>", headers={"Content-Type": "text/html"})


def provider_error(name: str) -> dict[str, Any]:
    (found,) = [row for row in recorded("errors/price_api_errors.json") if row["provider"] == name]
    return dict(found)


def test_coingecko_rate_limit_recorded() -> None:
    error = provider_error("CoinGecko")
    with pytest.raises(SourceUnavailableError) as caught:
        ask("coingecko", Response(error["body"], error["http"], error["headers"]))
    assert caught.value.retry_after == 119


def test_kraken_error_list_with_status_200_recorded() -> None:
    with pytest.raises(SourceUnavailableError, match="refuses"):
        ask("kraken", Response(provider_error("Kraken")["body"]))


def test_kraken_unknown_pair() -> None:
    with pytest.raises(ReplyError, match="refuses"):
        ask("kraken", Response({"error": ["EQuery:Unknown asset pair"]}))


def test_yahoo_too_many_requests_recorded() -> None:
    error = provider_error("Yahoo Finance")
    response = Response(error["body_text"].encode(), error["http"])
    with pytest.raises(SourceUnavailableError, match="429"):
        yahoo(response, Listing("x", "MSTR", "USD"))


@pytest.mark.parametrize("venue", ["coinbase", "kraken", "bitstamp", "binance", "coingecko"])
def test_a_page_where_json_was_due_is_a_bad_reply(venue: str) -> None:
    with pytest.raises(ReplyError, match="no JSON"):
        ask(venue, PAGE)


@pytest.mark.parametrize("venue", ["coinbase", "kraken", "bitstamp", "binance", "coingecko"])
@pytest.mark.parametrize("body", [{}, [], None, "x", 5, {"price": None}, {"bitcoin": []}])
def test_other_json_is_a_bad_reply(venue: str, body: object) -> None:
    with pytest.raises(ReplyError):
        ask(venue, Response(body))


@pytest.mark.parametrize("price", ["NaN", "", "12,5", None, True, [1], "1e5x"])
def test_a_price_that_is_no_number_is_a_bad_reply(price: object) -> None:
    with pytest.raises(ReplyError, match="no number"):
        ask("bitstamp", Response({"last": price, "timestamp": "1643640186"}))


@pytest.mark.parametrize("stamp", ["1e400", "soon", -(10**30)])
def test_a_time_that_is_none_is_a_bad_reply(stamp: object) -> None:
    with pytest.raises(ReplyError):
        ask("bitstamp", Response({"last": "1", "timestamp": stamp}))


@pytest.mark.parametrize("number", ["NaN", "1.0e99999999999999999999", "[" * 100_000])
def test_what_is_no_json_number_is_a_bad_reply(number: str) -> None:
    with pytest.raises(ReplyError, match="no JSON"):
        ask("coingecko", Response(f'{{"bitcoin": {{"usd": {number}}}}}'.encode()))


def broken_meta(**change: object) -> Callable[[], Any]:
    def make() -> Any:
        body = chart(1)
        body["chart"]["result"][0]["meta"] |= change
        return body

    return make


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (broken_meta(symbol="TSLA"), "AFRAF"),
        (broken_meta(currency="JPY"), "currency"),
        (broken_meta(regularMarketPrice="n/a"), "price"),
        (lambda: {"chart": {"result": [], "error": None}}, "result"),
        (lambda: {"chart": {"result": None, "error": {"code": "Bad Request"}}}, "error"),
    ],
)
def test_yahoo_bad_replies(make: Callable[[], Any], field: str) -> None:
    with pytest.raises(ReplyError) as caught:
        yahoo(Response(make()), Listing("x", "AFRAF", "USD"))
    assert caught.value.field == field


def test_a_symbol_that_yahoo_does_not_know_gives_nothing() -> None:
    body = {
        "chart": {
            "result": None,
            "error": {"code": "Not Found", "description": "No data found, symbol may be delisted"},
        }
    }
    assert yahoo(Response(body, 404), Listing("x", "GONE", "USD")) is None


@pytest.mark.parametrize("status", [403, 404, 451, 500, 503])
def test_an_error_status_is_a_source_that_is_away(status: int) -> None:
    with pytest.raises(SourceUnavailableError, match=str(status)):
        ask("coinbase", Response({"message": "no"}, status))


def test_a_redirect_is_not_followed() -> None:
    with pytest.raises(ReplyError, match="redirects"):
        ask("coinbase", Response(b"", 302, {"Location": "http://127.0.0.1:9/"}))


def test_nobody_listening_is_a_source_that_is_away() -> None:
    with serving(lambda _path, _query: PAGE) as url:
        pass
    with pytest.raises(SourceUnavailableError, match="cannot be reached"):
        get_json("gone", url, user_agent=AGENT)


def test_a_compressed_reply_is_read() -> None:
    body = {"price": "84613.16", "time": "2026-10-03T08:17:13Z"}
    packed = gzip.compress(json.dumps(body).encode())
    (quote,) = ask("coinbase", Response(packed, headers={"Content-Encoding": "gzip"}))
    assert quote.price.amount == Decimal("84613.16")


def test_a_reply_that_bursts_when_unpacked_is_cut() -> None:
    bomb = gzip.compress(b"1" * 50_000_000)
    with pytest.raises(ReplyError, match="more than"):
        ask("coinbase", Response(bomb, headers={"Content-Encoding": "gzip"}))


def test_a_reply_cut_off_in_the_middle_is_a_source_that_is_away() -> None:
    broken = Response(b"\x1f\x8bgarbage", headers={"Content-Encoding": "gzip"})
    with pytest.raises(SourceUnavailableError, match="cannot be reached"):
        ask("coinbase", broken)


def test_an_endless_body_is_cut() -> None:
    with pytest.raises(ReplyError, match="more than"):
        ask("coinbase", Response(b"1" * 1_100_000))


def test_a_dripping_body_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.markets.fetch._TOTAL_SECONDS", 0.3)
    with pytest.raises(SourceUnavailableError, match="too slow"):
        ask("coinbase", Response(b"1" * 400, drip=0.02))


@pytest.mark.parametrize(
    "make",
    [
        lambda: coins.venues(["mtgox"], user_agent=AGENT),
        lambda: shares.venues(["bloomberg"], user_agent=AGENT),
    ],
)
def test_an_unknown_source_in_the_settings_is_named(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.value in ("mtgox", "bloomberg")
    assert caught.value.mend
