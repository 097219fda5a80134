"""A poll of the markets against real servers: agreement, dead venues, pauses, no internet."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.http_server import Response, serving
from tracker.config import Settings
from tracker.db import Database
from tracker.db.facts import Capital, CorporateAction, Price
from tracker.db.operations import SourceStatus
from tracker.db.registry import Entity
from tracker.errors import ConfigError
from tracker.facts import listings, market_tick, repository
from tracker.facts.market_tick import MAX_PAUSE, TickReport, tick
from tracker.facts.prices.repository import price_keys
from tracker.markets import coins, shares
from tracker.markets.venue import Listing
from tracker.operations.repository import list_sources

NOW = datetime(2026, 6, 1, 15, 0, tzinfo=UTC)
AGENT = "tests/1"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    found = Database(postgres_url)
    yield found
    found.dispose()


@pytest.fixture
def settings() -> Settings:
    return Settings(market_poll_seconds=60)


def dead_address() -> str:
    """A port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def bitstamp(price: str, at: datetime = NOW) -> Response:
    return Response({"last": price, "timestamp": str(int(at.timestamp()))})


def coinbase(price: str, at: datetime = NOW) -> Response:
    return Response({"price": price, "time": at.isoformat()})


def binance(price: str, at: datetime = NOW) -> Response:
    return Response({"lastPrice": price, "closeTime": int(at.timestamp() * 1000)})


def share(symbol: str, price: float, currency: str = "USD", at: datetime = NOW) -> Response:
    meta = {
        "symbol": symbol,
        "currency": currency,
        "regularMarketPrice": price,
        "regularMarketTime": int(at.timestamp()),
    }
    return Response({"chart": {"result": [{"meta": meta}], "error": None}})


class Markets:
    """Local venues, each with the reply that a test gives it; None is a dead one."""

    def __init__(self, stack: ExitStack, **replies: Response | None) -> None:
        self.urls = {
            name: dead_address()
            if reply is None
            else stack.enter_context(serving(lambda _path, _query, reply=reply: reply))
            for name, reply in replies.items()
        }

    def poll(self, database: Database, settings: Settings, now: datetime = NOW) -> TickReport:
        names = [name for name in self.urls if name != "yahoo"]
        return tick(
            database,
            settings,
            now,
            coin_venues=coins.venues(names, user_agent=AGENT, base_urls=self.urls),
            share_venues=shares.venues(
                [name for name in self.urls if name == "yahoo"],
                user_agent=AGENT,
                base_urls=self.urls,
            ),
        )


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def sources(database: Database) -> dict[str, SourceStatus]:
    with database.transaction() as session:
        return {row.name: row for row in list_sources(session)}


def latest(database: Database, subject: str, at: datetime = NOW) -> Price | None:
    with database.transaction() as session:
        return repository.latest_price(session, subject, at)


def add_holder(database: Database, slug: str, **more: Any) -> None:
    with database.transaction() as session:
        entity = Entity(
            slug=slug,
            name=slug,
            kind="dat",
            role="holder",
            recorded_at=NOW,
            **({"ticker": slug.upper(), "exchange_mic": "XNAS", "currency": "USD"} | more),
        )
        session.add(entity)
        session.flush()
        assert entity.id is not None
        session.add(
            Capital(
                entity_id=entity.id,
                as_of=date(2026, 3, 31),
                field="basic_shares",
                value=Decimal(1000),
                source="10-Q",
                recorded_at=NOW,
            )
        )


def test_venues_that_agree_make_one_price(
    database: Database, settings: Settings, stack: ExitStack
) -> None:
    markets = Markets(
        stack, coinbase=coinbase("80000"), bitstamp=bitstamp("80010"), binance=binance("80020")
    )
    report = markets.poll(database, settings)
    assert report.states == dict.fromkeys(["coinbase", "bitstamp", "binance"], "ok")
    price = latest(database, "BTC")
    assert price is not None
    assert (price.value, price.currency, price.kind, price.state) == (80010, "USD", "live", "open")
    assert price.source == "median of binance, bitstamp, coinbase"
    for row in sources(database).values():
        assert (row.kind, row.state, row.last_ok, row.next_try) == ("coin_price", "ok", NOW, None)
        assert row.latency_ms is not None


def test_one_dead_venue_changes_nothing(
    database: Database, settings: Settings, stack: ExitStack
) -> None:
    markets = Markets(stack, coinbase=coinbase("80000"), kraken=None, bitstamp=bitstamp("80010"))
    report = markets.poll(database, settings)
    assert report.states["kraken"] == "unreachable"
    price = latest(database, "BTC")
    assert price is not None
    assert price.value == 80005
    dead = sources(database)["kraken"]
    assert dead.last_ok is None
    assert dead.next_try == NOW + MINUTE
    assert "cannot be reached" in (dead.last_error or "")


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        (Response(b"<html>hello</html>"), "lying"),
        (bitstamp("0"), "lying"),
        (bitstamp("80000", NOW + timedelta(hours=1)), "lying"),
        (bitstamp("400000"), "lying"),
        (bitstamp("80000", NOW - timedelta(hours=1)), "lagging"),
        (Response({"error": "slow down"}, 429, {"Retry-After": "600"}), "unreachable"),
    ],
)
def test_a_wrong_venue_is_put_aside(
    database: Database, settings: Settings, stack: ExitStack, reply: Response, state: str
) -> None:
    markets = Markets(stack, coinbase=coinbase("80000"), binance=binance("80002"), bitstamp=reply)
    report = markets.poll(database, settings)
    assert report.states == {"coinbase": "ok", "binance": "ok", "bitstamp": state}
    price = latest(database, "BTC")
    assert price is not None
    assert price.value == 80001
    row = sources(database)["bitstamp"]
    assert row.last_error
    assert row.next_try == NOW + (timedelta(seconds=600) if state == "unreachable" else MINUTE)


def test_an_absurd_price_of_the_only_venue_is_not_stored(
    database: Database, settings: Settings, stack: ExitStack
) -> None:
    Markets(stack, bitstamp=bitstamp("80000", NOW - MINUTE)).poll(database, settings, NOW - MINUTE)
    report = Markets(stack, bitstamp=bitstamp("8")).poll(database, settings)
    assert report.states == {"bitstamp": "lying"}
    price = latest(database, "BTC")
    assert price is not None
    assert price.value == 80000


def test_two_venues_that_disagree_leave_no_price(
    database: Database, settings: Settings, stack: ExitStack
) -> None:
    markets = Markets(stack, coinbase=coinbase("80000"), bitstamp=bitstamp("95000"))
    report = markets.poll(database, settings)
    assert report.stored == 0
    assert any("disagree" in reason for reason in report.refused)
    assert latest(database, "BTC") is None


def test_a_dead_venue_is_left_alone_for_longer_and_longer(
    database: Database, settings: Settings, stack: ExitStack
) -> None:
    markets = Markets(stack, kraken=None)
    now, pauses = NOW, []
    for _ in range(8):
        assert markets.poll(database, settings, now).states == {"kraken": "unreachable"}
        assert markets.poll(database, settings, now + timedelta(seconds=30)).states == {}
        next_try = sources(database)["kraken"].next_try
        assert next_try is not None
        pauses.append(next_try - now)
        now = next_try
    assert pauses[:4] == [MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE]
    assert pauses[-1] == MAX_PAUSE


def test_a_venue_that_is_back_is_asked_every_time_again(
    database: Database, settings: Settings, stack: ExitStack
) -> None:
    Markets(stack, bitstamp=None).poll(database, settings)
    back = NOW + MINUTE
    Markets(stack, bitstamp=bitstamp("80000", back)).poll(database, settings, back)
    row = sources(database)["bitstamp"]
    assert (row.state, row.next_try, row.last_error, row.last_ok) == ("ok", None, None, back)


def test_a_silent_venue_does_not_hold_up_the_others(
    database: Database, settings: Settings, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_tick, "TOTAL_SECONDS", 0.5)
    silent = Response(b"{}", delay=3)
    markets = Markets(stack, coinbase=coinbase("80000"), bitstamp=silent)
    start = time.monotonic()
    report = markets.poll(database, settings)
    assert time.monotonic() - start < 2.5
    assert report.states == {"coinbase": "ok", "bitstamp": "unreachable"}
    assert latest(database, "BTC") is not None
    assert "no answer" in (sources(database)["bitstamp"].last_error or "")


def test_without_any_network_every_source_is_shown_unreachable(
    database: Database, settings: Settings, stack: ExitStack
) -> None:
    add_holder(database, "mstr")
    names = ("coinbase", "kraken", "bitstamp", "binance", "coingecko", "yahoo")
    report = Markets(stack, **dict.fromkeys(names)).poll(database, settings)
    assert report == TickReport(0, dict.fromkeys(names, "unreachable"), ())
    rows = sources(database)
    assert set(rows) == set(names)
    assert rows["yahoo"].kind == "share_price"
    assert all(row.next_try == NOW + MINUTE and row.last_error for row in rows.values())


def test_switched_off_is_shown_as_paused(database: Database) -> None:
    report = tick(database, Settings(live_quotes=False), NOW)
    assert set(report.states.values()) == {"paused"}
    assert {row.state for row in sources(database).values()} == {"paused"}


def test_an_unknown_venue_in_the_settings_is_an_error(database: Database) -> None:
    with pytest.raises(ConfigError, match="unknown coin venue"):
        tick(database, Settings(coin_quote_sources=("mtgox",)), NOW)


# -- shares --------------------------------------------------------------------------------------


def test_shares_and_rates_are_stored(
    database: Database, settings: Settings, stack: ExitStack
) -> None:
    add_holder(database, "mstr")
    add_holder(database, "metaplanet", ticker="3350", exchange_mic="XTKS", currency="JPY")
    add_holder(database, "switched-off", enabled=False)
    asked: list[str] = []
    replies = {
        "MSTR": share("MSTR", 150.5),
        "3350.T": share("3350.T", 520, "JPY"),
        "JPYUSD=X": share("JPYUSD=X", 0.0066),
    }

    def answer(path: str, _query: dict[str, str]) -> Response:
        asked.append(path.rsplit("/", 1)[1].replace("%3D", "="))
        return replies[asked[-1]]

    url = stack.enter_context(serving(answer))
    venues = shares.venues(["yahoo"], user_agent=AGENT, base_urls={"yahoo": url})
    report = tick(database, settings, NOW, coin_venues=[], share_venues=venues)
    assert report.states == {"yahoo": "ok"}
    assert sorted(asked) == ["3350.T", "JPYUSD=X", "MSTR"]
    found = latest(database, "metaplanet")
    assert found is not None
    assert (found.value, found.currency, found.basis_date) == (520, "JPY", NOW.date())
    with database.transaction() as session:
        assert {subject for subject, _, _ in price_keys(session, "fx")} == {"JPY"}


def test_one_wrong_symbol_is_not_the_sources_fault(
    database: Database, settings: Settings, stack: ExitStack
) -> None:
    add_holder(database, "good")
    add_holder(database, "odd")
    url = stack.enter_context(
        serving(
            lambda path, _query: share("GOOD", 10) if path.endswith("GOOD") else share("ODD", -1)
        )
    )
    venues = shares.venues(["yahoo"], user_agent=AGENT, base_urls={"yahoo": url})
    report = tick(database, settings, NOW, coin_venues=[], share_venues=venues)
    assert report.states == {"yahoo": "ok"}
    assert "cannot be" in (sources(database)["yahoo"].last_error or "")
    assert latest(database, "good") is not None
    assert latest(database, "odd") is None


def test_the_last_trade_learns_that_its_market_closed(
    database: Database, settings: Settings, stack: ExitStack
) -> None:
    add_holder(database, "mstr")
    for now, period in ((NOW, (-1, 1)), (NOW + timedelta(hours=2), (-3, -1))):
        reply = share("MSTR", 150)
        meta = reply.body["chart"]["result"][0]["meta"]  # type: ignore[index]
        window = {
            "start": int((now + timedelta(hours=period[0])).timestamp()),
            "end": int((now + timedelta(hours=period[1])).timestamp()),
        }
        meta["currentTradingPeriod"] = {
            "regular": window,
            "pre": {"start": 0, "end": 0},
            "post": {"start": 0, "end": 0},
        }
        Markets(stack, yahoo=reply).poll(database, settings, now)
    found = latest(database, "mstr", NOW + timedelta(days=1))
    assert found is not None
    assert (found.at, found.state) == (NOW, "closed")


def test_a_known_reverse_split_is_no_absurd_price(
    database: Database, settings: Settings, stack: ExitStack
) -> None:
    add_holder(database, "naka")
    before = NOW - timedelta(days=1)
    Markets(stack, yahoo=share("NAKA", 0.3, at=before)).poll(database, settings, before)
    jumped = Markets(stack, yahoo=share("NAKA", 12))
    assert jumped.poll(database, settings).states == {"yahoo": "lying"}
    with database.transaction() as session:
        (entity_id,) = repository.counted_entities(session)
        session.add(
            CorporateAction(
                entity_id=entity_id,
                effective=NOW.date(),
                kind="reverse_split",
                numerator=1,
                denominator=40,
                source="8-K",
                recorded_at=NOW,
            )
        )
    later = NOW + MINUTE
    assert jumped.poll(database, settings, later).states == {"yahoo": "ok"}


def test_every_share_has_its_turn() -> None:
    listed = [Listing(f"s{index}", f"S{index}", "USD") for index in range(30)]
    asked: set[str] = set()
    for poll in range(5):
        part = listings.in_turn(listed, NOW + poll * MINUTE, 60)
        assert len(part) == listings.SHARES_A_POLL
        asked |= {item.subject for item in part}
    assert len(asked) == 30
