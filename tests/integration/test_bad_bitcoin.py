"""Bad input on the Bitcoin side, case by case: over a validated chain, through the whole scan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.regtest import RegtestChain
from tests.scene import FEE, FIRST, second
from tests.servers import fresh_database, worker_number
from tests.simulation import assert_books
from tests.simulation_bitcoin import CHAIN, World, bitcoin_world
from tracker.embedded.servers import ServerUrls
from tracker.errors import DeepForkError, SourceUnavailableError
from tracker.ledger import repository as ledger


@contextmanager
def opened(servers: ServerUrls, folder: Path, name: str) -> Iterator[World]:
    with (
        fresh_database(servers, f"bad_{name}_{worker_number()}") as url,
        bitcoin_world(url, folder, 0) as world,
    ):
        yield world


@pytest.fixture
def world(servers: ServerUrls, tmp_path: Path) -> Iterator[World]:
    with opened(servers, tmp_path, "btc") as found:
        yield found


def mined(world: World, count: int, to: bytes | None = None) -> None:
    for block in world.chain.mine(count, to=to):
        world.spends[block.hash] = []


def quiet_tick(world: World) -> None:
    while world.process.scan.tick().more:
        pass


@pytest.mark.parametrize("mode", ["down", "slow down", "stale", "half", "forged"])
def test_one_bad_source_of_two_changes_nothing(world: World, mode: str) -> None:
    world.servers[0].mode = mode
    mined(world, 3, to=world.scene.holder)
    quiet_tick(world)
    world.clock.sleep(61)
    quiet_tick(world)  # the other is looked at once a minute, and shows more
    quiet_tick(world)
    world.assert_true()


@pytest.mark.parametrize("mode", ["down", "slow down", "half", "forged"])
def test_when_every_source_is_bad_nothing_is_written_until_one_is_well(
    world: World, mode: str
) -> None:
    before = world.scene.ledger()
    mined(world, 2, to=world.scene.holder)
    for server in world.servers:
        server.mode = mode
    with pytest.raises(SourceUnavailableError) as caught:
        world.process.scan.tick()
    assert caught.value.mend
    assert world.scene.ledger() == before
    for server in world.servers:
        server.mode = "honest"
    world.process = world.new_process()
    quiet_tick(world)
    world.assert_true()


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_a_gap_of_a_thousand_blocks_is_closed_block_by_block(world: World) -> None:
    mined(world, 999)
    mined(world, 1, to=world.scene.holder)
    applied = []
    while True:
        report = world.process.scan.tick()
        applied.append(report.applied)
        if not report.more:
            break
    assert sum(applied) == 1000
    world.assert_true()


def test_a_thousand_dust_outputs_in_one_block_are_a_thousand_coins(world: World) -> None:
    scene = world.scene
    dust = [(scene.holder, 300 + number % 7) for number in range(1000)]
    coin = scene.coin()
    paid = world.chain.spend(coin, dust, change=scene.stranger, fee=FEE)
    [block] = world.chain.mine(1, txs=[paid])
    world.spends[block.hash] = [coin]
    quiet_tick(world)
    world.assert_true()
    assert len(world.unspent()) == 1001
    # Half of them are spent again at once.
    some = [utxo for utxo in block.utxos if utxo.script == scene.holder][::2]
    swept = world.chain.spend(some, [(scene.stranger, 100_000)])
    [block] = world.chain.mine(1, txs=[swept])
    world.spends[block.hash] = some
    quiet_tick(world)
    world.assert_true()
    assert not [alert for alert in scene.alerts() if alert.severity == "critical"]


def fork(world: World, depth: int) -> None:
    world.chain.fork(world.chain.height - depth)
    mined(world, 1, to=world.scene.holder)
    mined(world, depth, to=second())


def assert_followed(world: World, depth: int) -> None:
    fork(world, depth)
    report = world.process.scan.tick()
    assert report.orphaned == depth
    assert_books(world.scene.database, CHAIN, f"depth {depth}")


@pytest.mark.parametrize("depth", [1, 6, 50, 99])
def test_a_fork_of_any_depth_short_of_finality_is_followed(world: World, depth: int) -> None:
    mined(world, 100)
    quiet_tick(world)
    assert_followed(world, depth)
    quiet_tick(world)
    world.assert_true()


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("depths", [range(1, 50), range(50, 80), range(80, 100)], ids=str)
def test_forks_of_every_depth_to_finality_are_followed(world: World, depths: range) -> None:
    mined(world, 100)
    quiet_tick(world)
    for depth in depths:
        assert_followed(world, depth)
    quiet_tick(world)
    world.assert_true()


@pytest.mark.parametrize("depth", [100, 140])
def test_a_fork_past_finality_halts_the_chain_and_touches_nothing(
    world: World, depth: int
) -> None:
    mined(world, 145)
    quiet_tick(world)
    before = world.scene.ledger()
    fork(world, depth)
    with pytest.raises(DeepForkError) as caught:
        world.process.scan.tick()
    assert caught.value.mend
    assert world.scene.ledger() == before
    with world.scene.database.transaction() as session:
        cursor = ledger.cursor_of(session, CHAIN)
    assert cursor is not None
    assert cursor.halted
    with pytest.raises(DeepForkError, match="halted"):
        world.new_process().scan.tick()
    assert world.new_process().openings.tick().opened == 0
    assert world.scene.ledger() == before


def test_a_chain_that_is_resumed_on_the_old_branch_goes_on(world: World) -> None:
    """The sources stood on a wrong branch for a while; they came back, and a person says go on."""
    mined(world, 130)
    quiet_tick(world)
    old = [world.chain.at(height) for height in range(world.chain.height + 1)]
    fork(world, 110)
    with pytest.raises(DeepForkError):
        world.process.scan.tick()
    world.chain._branch = old
    mined(world, 3, to=world.scene.holder)
    with pytest.raises(DeepForkError, match="halted"):
        world.new_process().scan.tick()
    with world.scene.database.transaction() as session:
        ledger.halt(session, CHAIN, None)
    world.process = world.new_process()
    quiet_tick(world)
    world.assert_true()


def test_a_wallet_added_while_its_block_is_read_is_counted_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = world.scripts[0]
    world.scripts = [script]
    mined(world, 1, to=script)
    scan = world.process.scan
    fetch = scan.fetch
    added: list[int] = []

    def fetched(at: int, *rest: object) -> object:
        found = fetch(at, *rest)  # type: ignore[arg-type]
        if not added:
            added.append(at)
            world._watch()  # after the block was matched, before it is written
        return found

    monkeypatch.setattr(scan, "fetch", fetched)
    quiet_tick(world)
    assert added == [world.chain.height]
    world.process.openings.tick()
    mined(world, 2, to=script)
    quiet_tick(world)
    world.assert_true()


def test_the_chain_is_the_one_that_the_settings_name(
    servers: ServerUrls, tmp_path: Path
) -> None:
    """A node of the right network with other blocks below: no block of it is taken."""
    with opened(servers, tmp_path, "other") as world:
        before = world.scene.ledger()
        other = RegtestChain(mature=False)
        other.mine(FIRST + 3, to=second())
        height = world.chain.height
        world.chain._kernel, world.chain._blocks = other._kernel, other._blocks
        # Our first block of all is no final one yet: that fork is not deep, but shares no block.
        with pytest.raises(DeepForkError):
            world.process.scan.tick()
        assert world.scene.ledger() == before
        with world.scene.database.transaction() as session:
            cursor = ledger.cursor_of(session, CHAIN)
        assert cursor is not None
        assert (cursor.height, bool(cursor.halted)) == (height, True)
