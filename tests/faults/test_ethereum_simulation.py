"""Seeded lives of the Ethereum side, crashes, races, forks and lies included, against the node."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
from sqlalchemy.exc import OperationalError

from tests.account_scene import AccountScene
from tests.servers import fresh_database, worker_number
from tests.simulation import assert_books, leases_lost
from tests.simulation_ethereum import CHAIN, SHORT_EPOCH, World, ethereum_world, play
from tracker.embedded.servers import ServerUrls
from tracker.errors import TrackerError

DEADLOCK = "40P01"  # PostgreSQL's: one of the two was undone whole, its next tick does it again
ANVIL_EPOCH = 32  # slots, as on mainnet: forks may be 64 blocks deep


def live(
    servers: ServerUrls, seed: int, steps: int, *, full: bool = False, leases: bool = True,
    slots: int = SHORT_EPOCH, replayed: bool = False,
) -> None:  # fmt: skip
    tag = f"{worker_number()}_{seed}_{slots}"
    with (
        fresh_database(servers, f"eth_{tag}") as url,
        nullcontext() if leases else leases_lost(),
        ethereum_world(url, seed, full=full, slots=slots) as world,
    ):
        play(world, steps)
        if replayed:
            with fresh_database(servers, f"eth_replay_{tag}") as plain:
                assert_replayed(world, plain)


def assert_replayed(world: World, url: str) -> None:
    """A fresh ledger over the chain as it is now says the same of every block that both watched."""
    scene = world.scene
    first = AccountScene(
        url, world.node, rpc_urls=[world.proxies[0].url], assets=scene.assets,
        options={"ethereum_checks": "trusted"},
    )  # fmt: skip
    for address in world.wallets().keys() - {first.treasury, first.second, first.rival}:
        first.watch(address)
    replay = World(
        first, world.node, world.proxies, world.rng, world.boundaries, world.clock,
        world.final_lag, f"{world.said} replayed", world.contracts,
    )  # fmt: skip
    while replay.process.scan.tick().more:
        pass
    ours, theirs = world.sums(), replay.sums()
    wallets = world.wallets()
    for address, wallet in wallets.items():
        since = max(world.seams[address], world.base)
        found = {height: amount for height, amount in ours[wallet.key, "ETH"].items()
                 if height > since and amount}  # fmt: skip
        plain = {height: amount for height, amount in theirs[wallet.key, "ETH"].items()
                 if height > since and amount}  # fmt: skip
        if world.resolved(wallet):
            assert found == plain, f"{world.said}: {address} differs from its replay"
    first.database.dispose()


@pytest.mark.parametrize("seed", range(14))
def test_the_ledger_ends_as_the_node_has_it(seed: int, servers: ServerUrls) -> None:
    live(
        servers, seed, steps=25, full=seed % 7 == 0, leases=bool(seed % 2), replayed=seed % 5 == 0
    )


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(1000, 1100))
def test_the_same_over_many_seeds(seed: int, servers: ServerUrls) -> None:
    live(
        servers, seed, steps=40, full=seed % 10 == 0, leases=bool(seed % 2),
        replayed=seed % 4 == 0,
    )  # fmt: skip


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(2000, 2004))
def test_the_same_with_forks_as_deep_as_mainnets_finality(seed: int, servers: ServerUrls) -> None:
    live(servers, seed, steps=50, slots=ANVIL_EPOCH)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.faults)])
def test_workers_at_the_same_time_without_their_leases_count_each_block_once(
    seed: int, servers: ServerUrls
) -> None:
    with (
        fresh_database(servers, f"eth_threads_{worker_number()}_{seed}") as url,
        ethereum_world(url, seed) as world,
        leases_lost(),
    ):
        stop = threading.Event()

        def work() -> None:
            process = world.new_process()
            while not stop.is_set():
                for each in (process.scan.tick, process.openings.tick, process.reconcile.tick,
                             process.late.tick):  # fmt: skip
                    try:
                        each()
                    except TrackerError:
                        pass  # what the next tick mends
                    except OperationalError as error:
                        if getattr(error.orig, "sqlstate", None) != DEADLOCK:
                            raise

        with ThreadPoolExecutor(3) as threads:
            working = [threads.submit(work) for _ in range(3)]
            try:
                for turn in range(8):
                    world.mine(2)
                    if turn % 3 == 2:
                        world.reorg()
                    if turn == 4:
                        world._watch()
                    assert_books(world.scene.database, CHAIN, f"{world.said}, threads, {turn}")
            finally:
                stop.set()
        for each in working:
            each.result()
        world._note_seams()
        world.settle()
        world._note_seams()
        world.assert_true()


def test_a_seed_is_the_same_run_again(servers: ServerUrls) -> None:
    told = []
    for time in (1, 2):
        with (
            fresh_database(servers, f"eth_same_{worker_number()}_{time}") as url,
            ethereum_world(url, 77) as world,
        ):
            for _ in range(12):
                world.step()
            told.append((world.log, world.node.block()["hash"]))
    assert told[0] == told[1]
