"""Rates read of real contracts at final blocks, and what tokens are worth by them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.anvil import BLOCK_SECONDS, Anvil, Contract, run
from tracker.chains.ethereum.pool import open_pool
from tracker.chains.ethereum.rates import MAINNET, RateCall, read_rates
from tracker.config import Settings
from tracker.db import Database
from tracker.domain.money import Money
from tracker.domain.quote import Quote, QuoteState
from tracker.facts.prices.repository import record_price
from tracker.facts.rates.repository import rate_at
from tracker.facts.rates.tick import RatesReport, RatesTick
from tracker.scanning.reading import Prices

FINALITY = 66  # anvil's `finalized` lags its tip by 64 blocks
HOUR = timedelta(hours=1)
WSTETH = 1_193_456_789_012_345_678


@pytest.fixture
def node() -> Iterator[Anvil]:
    with run() as anvil:
        yield anvil


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    found = Database(postgres_url)
    yield found
    found.dispose()


class World:
    """A node with one contract that tells every rate, and a tick over it."""

    def __init__(self, node: Anvil, database: Database) -> None:
        self.node, self.database = node, database
        self.rates: Contract = node.deploy("Rates", WSTETH)
        self.pool = open_pool(
            Settings(ethereum_chain_id=node.chain_id, ethereum_rpc_urls=(node.url,))
        )
        contract = bytes.fromhex(self.rates.address[2:])
        self.calls = [replace(call, contract=contract) for call in MAINNET]

    def tick(self, *, calls: list[RateCall] | None = None) -> RatesReport:
        return RatesTick(self.database, self.pool, self.now, calls or self.calls).tick()

    def now(self) -> datetime:
        return _time(self.node, "latest") + timedelta(seconds=5)

    def later(self) -> None:
        """An hour on; all that stands now is final then."""
        self.node.mine(max(FINALITY, int(HOUR.total_seconds()) // BLOCK_SECONDS + 1))

    def set(self, rate: int) -> None:
        self.rates.send("set", rate)
        self.later()

    def value(self, asset: str, at: datetime | None = None) -> Decimal | None:
        with self.database.transaction() as session:
            found = rate_at(session, asset, at or self.now(), timedelta(days=3))
        return None if found is None else found.value


@pytest.fixture
def world(node: Anvil, database: Database) -> World:
    found = World(node, database)
    found.later()
    return found


def _time(node: Anvil, block: int | str) -> datetime:
    return datetime.fromtimestamp(int(node.block(block)["timestamp"], 16), UTC)


def test_every_protocol_is_asked_by_its_own_name_and_answers_exactly(world: World) -> None:
    block = bytes.fromhex(world.node.block()["hash"][2:])
    assert read_rates(world.pool, block, world.calls) == {
        call.asset: WSTETH for call in MAINNET
    }


def test_a_contract_that_is_not_there_or_refuses_is_left_out(world: World) -> None:
    world.rates.send("set", 0)
    block = bytes.fromhex(world.node.block()["hash"][2:])
    nowhere = [replace(call, contract=b"\x77" * 20) for call in world.calls[:1]]
    assert read_rates(world.pool, block, nowhere + world.calls[1:2]) == {}
    world.rates.send("set", 2**200)
    block = bytes.fromhex(world.node.block()["hash"][2:])
    assert read_rates(world.pool, block, world.calls[:1]) == {}


def test_rates_are_read_hourly_at_the_final_block(world: World) -> None:
    report = world.tick()
    assert set(report.believed) == {call.asset for call in MAINNET}
    assert not report.refused
    with world.database.transaction() as session:
        found = rate_at(session, "wstETH", world.now(), HOUR)
    assert found is not None
    assert found.value == Decimal("1.193456789012")  # as much as a price keeps
    assert found.at == _time(world.node, "finalized")
    assert found.source == "wstETH contract: stEthPerToken"
    assert world.tick().skipped == "every rate was read within the hour"
    world.later()
    assert len(world.tick().believed) == 6


def test_a_block_is_read_once_however_late_it_is(world: World) -> None:
    world.tick()
    late = RatesTick(
        world.database, world.pool, lambda: world.now() + 3 * HOUR, world.calls
    ).tick()
    assert (late.believed, late.refused) == ({}, {})


def test_an_aave_token_has_the_rate_of_what_was_lent(world: World) -> None:
    world.tick()
    assert world.value("aEthwstETH") == world.value("wstETH") == Decimal("1.193456789012")


def test_a_rate_is_unknown_before_it_is_read_and_once_it_is_old(world: World) -> None:
    world.tick()
    at = _time(world.node, "finalized")
    assert world.value("rETH", at - timedelta(seconds=1)) is None
    assert world.value("rETH", at) is not None
    assert world.value("rETH", at + timedelta(days=3)) is not None
    assert world.value("rETH", at + timedelta(days=3, seconds=1)) is None
    assert world.value("stETH") is None  # at par: it has none


def test_a_jump_is_unknown_until_it_is_seen_twice(world: World) -> None:
    world.tick()
    before = world.now()
    world.set(WSTETH * 110 // 100)
    assert set(world.tick().refused) == {call.asset for call in MAINNET}
    assert world.value("wstETH") is None
    assert world.value("wstETH", before) == Decimal("1.193456789012")
    world.later()
    assert len(world.tick().believed) == 6
    assert world.value("wstETH") == Decimal("1.312802467914")
    assert world.value("wstETH", before) == Decimal("1.193456789012")


def test_a_slip_of_one_reading_is_forgotten_and_nonsense_is_never_believed(world: World) -> None:
    world.tick()
    world.set(WSTETH * 80 // 100)
    assert len(world.tick().refused) == 6
    world.set(WSTETH + 10**12)
    assert len(world.tick().believed) == 6
    assert world.value("wstETH") == Decimal("1.193457789012")
    for _ in range(2):
        world.set(4 * 10**18)
        assert len(world.tick().refused) == 6
        assert world.value("wstETH") is None


def test_a_token_is_worth_rate_times_price_as_of_the_older(world: World) -> None:
    world.tick()
    now, read = world.now(), _time(world.node, "finalized")
    quoted = now - timedelta(minutes=1)
    quote = Quote("ETH", Money(Decimal(2000), "USD"), quoted, QuoteState.OPEN, "test")
    with world.database.transaction() as session:
        prices = Prices(session, now)
        assert prices.of("wstETH") == (None, None)  # a rate alone is worth nothing
        record_price(session, "live", quote, now)
        prices = Prices(session, now)
        assert prices.of("wstETH") == (Decimal("2386.913578024"), read)
        assert prices.value("wstETH", 2 * 10**18) == Decimal("4773.83")
        assert prices.of("stETH") == prices.of("WETH") == (Decimal(2000), quoted)
        for asset in ("USDC", "variableDebtEthWETH", "variableDebtEthUSDC"):
            assert prices.of(asset) == (None, None)
        # Of a time before the reading the rate is unknown, though the price is not.
        early = read - timedelta(minutes=1)
        record_price(session, "live", replace(quote, at=early), now)
        prices = Prices(session, early)
        assert prices.of("ETH") == (Decimal(2000), early)
        assert prices.of("wstETH") == (None, None)
        assert prices.value("wstETH", 10**18) is None


def test_without_a_final_block_nothing_is_read(node: Anvil, database: Database) -> None:
    # A node that started a moment ago calls its first block final, where no contract is yet.
    world = World(node, database)
    assert world.tick() == RatesReport(0)
    assert world.value("wstETH") is None
