"""Several sources as one: failing, lying, lagging and foreign ones are put aside and come back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.block_servers import BlockServer, core_rest, esplora, serve
from tests.regtest import RegtestChain
from tracker.chains.bitcoin.block import scan
from tracker.chains.bitcoin.sources import open_pool, open_source
from tracker.chains.pool import FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS, BitcoinPool
from tracker.chains.port import BitcoinSource
from tracker.config import Settings
from tracker.errors import ConfigError, InvalidBlockError, SourceUnavailableError

SETTINGS = Settings(bitcoin_network="regtest", http_timeout_seconds=2)
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Clock:
    now: datetime = field(default=START)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Fleet:
    """Two honest servers over one chain, the pool over both, and its clock."""

    chain: RegtestChain
    first: BlockServer
    second: BlockServer
    pool: BitcoinPool
    clock: Clock


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    chain = RegtestChain(mature=False)
    chain.mine(5)
    with ExitStack() as stack:
        first = stack.enter_context(serve(chain, esplora))
        second = stack.enter_context(serve(chain, core_rest))
        clock = Clock()
        pool = BitcoinPool(
            [
                open_source(f"esplora+{first.url}", SETTINGS),
                open_source(f"core+{second.url}", SETTINGS),
            ],
            network="regtest", now=clock,
        )
        yield Fleet(chain, first, second, pool, clock)


def states(pool: BitcoinPool) -> list[str]:
    return [state.state for state in pool.states()]


def test_the_first_source_answers_while_it_is_well(fleet: Fleet) -> None:
    assert isinstance(fleet.pool, BitcoinSource)
    tip = fleet.pool.tip()
    assert tip.hash == fleet.chain.tip.hash
    assert fleet.pool.block(tip.hash) == fleet.chain.tip.raw
    assert fleet.second.asked == []
    first, second = fleet.pool.states()
    assert (first.state, first.height, first.last_error) == ("ok", 5, None)
    assert first.last_ok == START
    assert first.latency_ms is not None
    assert (second.height, second.last_ok, second.latency_ms) == (None, None, None)
    assert fleet.pool.served_by(tip.hash) == first.name
    assert fleet.pool.served_by(bytes(32)) is None
    assert fleet.pool.block_hash(99) is None


def test_a_failing_source_waits_longer_each_time_and_comes_back(fleet: Fleet) -> None:
    fleet.first.canned["/blocks/tip/height"] = (503, {}, b"down")
    waits = []
    for _ in range(9):
        assert fleet.pool.tip().hash == fleet.chain.tip.hash
        state = fleet.pool.states()[0]
        assert state.state == "unreachable"
        assert state.next_try is not None
        waits.append((state.next_try - fleet.clock.now).total_seconds())
        asked = len(fleet.first.asked)
        fleet.pool.tip()
        assert len(fleet.first.asked) == asked  # it is left alone until then
        fleet.clock.forward(waits[-1])
    assert waits[:3] == [FIRST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2, FIRST_WAIT_SECONDS * 4]
    assert waits[-1] == MAX_WAIT_SECONDS
    del fleet.first.canned["/blocks/tip/height"]
    fleet.pool.tip()
    state = fleet.pool.states()[0]
    assert (state.state, state.next_try, state.last_error) == ("ok", None, None)


def test_a_source_that_asks_to_slow_down_is_paused_as_long_as_it_says(fleet: Fleet) -> None:
    fleet.first.canned["/blocks/tip/height"] = (429, {"Retry-After": "90"}, b"")
    fleet.pool.tip()
    state = fleet.pool.states()[0]
    assert state.state == "paused"
    assert state.next_try == START + timedelta(seconds=90)


def test_a_forged_block_puts_its_source_aside_and_the_other_serves_it(fleet: Fleet) -> None:
    wanted = fleet.chain.at(3)
    fleet.first.canned[f"/block/{wanted.hash.hex()}/raw"] = (200, {}, fleet.chain.at(2).raw)
    assert fleet.pool.block(wanted.hash) == wanted.raw
    assert states(fleet.pool) == ["lying", "ok"]
    assert fleet.pool.served_by(wanted.hash) == fleet.pool.states()[1].name


def test_a_block_that_fails_its_scan_can_be_laid_at_its_source(fleet: Fleet) -> None:
    wanted = fleet.chain.at(3)
    path = f"/block/{wanted.hash.hex()}/raw"
    fleet.first.canned[path] = (200, {}, wanted.raw[:-1] + b"\x07")
    waits = []
    for _ in range(2):
        raw = fleet.pool.block(wanted.hash)
        with pytest.raises(InvalidBlockError) as caught:
            scan(raw, set(), set(), verify=True)
        fleet.pool.accuse(wanted.hash, caught.value)
        state = fleet.pool.states()[0]
        assert state.state == "lying"
        assert state.last_error is not None
        assert "merkle root" in state.last_error
        assert state.next_try is not None
        waits.append((state.next_try - fleet.clock.now).total_seconds())
        scan(fleet.pool.block(wanted.hash), set(), set(), verify=True)
        fleet.clock.forward(waits[-1])
        for _ in range(6):  # honest tips bring it back, but do not wash the lie off
            assert fleet.pool.tip().height == 5
            fleet.clock.forward(15)
    assert waits == [FIRST_WAIT_SECONDS, 2 * FIRST_WAIT_SECONDS]
    fleet.pool.accuse(bytes(32), caught.value)  # nobody's block: nobody is put aside


def test_a_lagging_source_is_passed_over_once_another_showed_more(fleet: Fleet) -> None:
    old = str(fleet.chain.height).encode()
    fleet.chain.mine(4)
    fleet.first.canned["/blocks/tip/height"] = (200, {}, old)
    assert fleet.pool.tip().height == 5  # nobody has shown more yet
    fleet.first.canned["/blocks/tip/height"] = (503, {}, b"")
    assert fleet.pool.tip().height == 9
    fleet.clock.forward(60)
    fleet.first.canned["/blocks/tip/height"] = (200, {}, old)
    assert fleet.pool.tip().height == 9
    assert states(fleet.pool) == ["lagging", "ok"]
    fleet.second.canned["/rest/chaininfo.json"] = (503, {}, b"")
    assert fleet.pool.tip().height == 5  # old, but true, and all there is
    del fleet.first.canned["/blocks/tip/height"]
    assert fleet.pool.tip().height == 9
    assert states(fleet.pool)[0] == "ok"


def test_a_source_of_another_chain_is_refused_at_first_use(fleet: Fleet) -> None:
    pool = BitcoinPool(
        [open_source(f"esplora+{fleet.first.url}", SETTINGS)], network="mainnet", now=fleet.clock
    )
    with pytest.raises(SourceUnavailableError, match="no Bitcoin source") as caught:
        pool.tip()
    assert "wrong chain" in str(caught.value)
    assert "regtest" in str(pool.states()[0].last_error)
    assert states(pool) == ["lying"]


def test_a_block_that_only_the_second_has(fleet: Fleet) -> None:
    wanted = fleet.chain.at(4)
    fleet.first.canned[f"/block/{wanted.hash.hex()}/raw"] = (404, {}, b"Block not found")
    assert fleet.pool.block(wanted.hash) == wanted.raw
    assert states(fleet.pool) == ["ok", "ok"]
    with pytest.raises(SourceUnavailableError):
        fleet.pool.block(bytes(range(32)))


def test_when_all_are_down_it_says_when_the_next_try_is(fleet: Fleet) -> None:
    fleet.first.canned["/blocks/tip/height"] = (503, {}, b"")
    fleet.second.canned["/rest/chaininfo.json"] = (500, {}, b"")
    with pytest.raises(SourceUnavailableError) as caught:
        fleet.pool.tip()
    assert caught.value.retry_after == FIRST_WAIT_SECONDS
    with pytest.raises(SourceUnavailableError):
        fleet.pool.block_hash(1)


def test_a_pool_opens_from_settings_and_needs_a_source(tmp_path: Path) -> None:
    chain = RegtestChain(mature=False)
    chain.mine(2)
    chain.write_folder(tmp_path)
    settings = Settings(bitcoin_network="regtest", bitcoin_sources=(f"files:{tmp_path}",))
    pool = open_pool(settings)
    assert pool.tip().height == 2
    assert pool.network() == "regtest"
    assert pool.name == f"files:{tmp_path}"
    with pytest.raises(ConfigError):
        BitcoinPool([], network="regtest")
