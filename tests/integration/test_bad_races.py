"""Two processes at one piece of work: what one did in the middle of the other counts once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.account_scene import CHAIN, ETHER, AccountScene
from tests.anvil import GWEI, Anvil, run
from tests.rpc_lies import TRACES, Lies
from tests.simulation import assert_books, leases_lost
from tests.withdrawals import RpcProxy, proxying
from tracker.chains.ethereum.network import network_name
from tracker.chains.ethereum.pool import EthereumPool, open_pool
from tracker.chains.ethereum.sources import open_sources
from tracker.chains.port import Probe
from tracker.reconciliation.ethereum import EthereumReconcile
from tracker.reconciliation.late_traces import LateTraces
from tracker.scanning.ethereum_backfill import EthereumBackfill
from tracker.scanning.jobs import repository as jobs

FINALITY = 12


@pytest.fixture
def node() -> Iterator[Anvil]:
    with run(options=("--slots-in-an-epoch", "4")) as anvil:
        anvil.place_canonical()
        yield anvil


@pytest.fixture
def proxy(node: Anvil) -> Iterator[RpcProxy]:
    with proxying(node, lies=Lies(hidden=TRACES)) as found:
        yield found


@pytest.fixture
def scene(postgres_url: str, node: Anvil, proxy: RpcProxy) -> Iterator[AccountScene]:
    found = AccountScene(postgres_url, node, rpc_urls=[proxy.url])
    found.tick()
    found.open()
    yield found
    found.database.dispose()


class Interrupted(EthereumPool):
    """A pool after whose `place`-th answer about balances something else happens."""

    place = 0
    act: Callable[[], object] | None = None

    def balances(
        self, keys: Sequence[bytes], tokens: Sequence[bytes], block_hash: bytes
    ) -> dict[Probe, int | None]:
        """The pool's own answer, which is old by the time it is given."""
        found = super().balances(keys, tokens, block_hash)
        self.place -= 1
        if self.place == 0 and self.act is not None:
            self.act()
        return found


def internal_moves(scene: AccountScene) -> int:
    """Some blocks in which only contracts move ether; the first one's height."""
    mover = scene.node.deploy("Mover")
    first = scene.node.height + 1
    mover.send("forward", scene.treasury, value=ETHER, sender=scene.stranger)
    scene.node.mine(2)
    mover.send("forward", scene.second, value=3, sender=scene.stranger)
    scene.node.mine(FINALITY)
    scene.tick()
    return first


def assert_true(scene: AccountScene, first: int) -> None:
    assert_books(scene.database, CHAIN, "a race")
    for address in (scene.treasury, scene.second, scene.rival):
        assert scene.deltas(address) == scene.true_deltas(address, first), address
        assert scene.balance(address) == scene.node.balance(address), address


@pytest.mark.parametrize("place", [1, 2, 3])
def test_two_probes_of_one_block_that_overlap_leave_one_residual(
    scene: AccountScene, place: int
) -> None:
    first = internal_moves(scene)
    pool = Interrupted(
        open_sources(scene.settings), network=network_name(scene.settings.ethereum_chain_id)
    )
    other = EthereumReconcile(scene.database, scene.pool, scene.now, probe_gap=1)
    pool.place, pool.act = place, other.tick
    with leases_lost():
        EthereumReconcile(scene.database, pool, scene.now, probe_gap=1).tick()
    assert_true(scene, first)


def test_traces_that_two_itemise_at_once_are_itemised_once(
    scene: AccountScene, proxy: RpcProxy
) -> None:
    first = internal_moves(scene)
    EthereumReconcile(scene.database, scene.pool, scene.now, probe_gap=1).tick()
    assert_true(scene, first)
    proxy.lies = Lies()
    ready = threading.Barrier(2)
    made = []

    def work() -> None:
        late = LateTraces(scene.database, open_pool(scene.settings), scene.now)
        ready.wait()
        made.append(late.tick())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_true(scene, first)


def test_a_wallet_backfilled_before_its_first_probe_has_its_residuals_in_their_blocks(
    postgres_url: str, node: Anvil, proxy: RpcProxy
) -> None:
    node.mine(40)  # which only the backfill reads
    scene = AccountScene(
        postgres_url, node, rpc_urls=[proxy.url], options={"ethereum_start_height": 40}
    )
    scene.tick()
    scene.open()
    mover = scene.node.deploy("Mover")
    late = scene.node.accounts[5]
    mover.send("forward", late, value=7, sender=scene.stranger)
    scene.node.mine(3)
    scene.tick()
    scene.watch(late)
    scene.open()
    seam = scene.node.height
    scene.node.mine(2)
    mover.send("forward", late, value=ETHER, sender=scene.stranger)
    scene.node.mine(FINALITY)
    scene.tick()
    with scene.database.transaction() as session:
        jobs.add(
            session, chain=CHAIN, wallets=[scene.wallet(late)], from_height=1, now=scene.now()
        )
    worker = EthereumBackfill(scene.database, scene.pool, scene.settings, scene.now)
    while worker.slice(60).more:
        pass
    EthereumReconcile(scene.database, scene.pool, scene.now, probe_gap=1).tick()
    found = {height: amount for height, amount in scene.deltas(late).items() if height > seam}
    assert found == scene.true_deltas(late, seam + 1)
    scene.database.dispose()


def test_a_block_that_comes_back_without_traces_is_itemised_later(
    scene: AccountScene, proxy: RpcProxy
) -> None:
    node = scene.node
    mover = node.deploy("Mover")
    node.mine(1)
    scene.tick()
    scene.pool = open_pool(scene.settings)
    proxy.lies = Lies()
    scene.scan = scene.new_scan()
    fork = node.snapshot()

    time = int(node.block()["timestamp"], 16) + 12

    def branch() -> None:
        node.set_next_time(time)
        node.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
        call = mover.data("forward", scene.treasury)
        node.send(scene.stranger, mover.address, ETHER, call, gasPrice=hex(2 * GWEI))

    first = node.height + 1
    branch()
    first_hash = node.block()["hash"]
    scene.tick()
    assert scene.block_row(first).traced
    node.revert(fork)
    fork = node.snapshot()
    node.mine(2)
    scene.scan = scene.new_scan()
    scene.tick()
    assert scene.deltas(scene.treasury) == {}
    node.revert(fork)
    branch()
    assert node.block()["hash"] == first_hash
    node.mine(FINALITY)
    proxy.lies = Lies(hidden=TRACES)
    scene.scan = scene.new_scan()
    scene.tick()
    assert not scene.block_row(first).traced
    EthereumReconcile(scene.database, open_pool(scene.settings), scene.now, probe_gap=1).tick()
    assert_true(scene, first)
    proxy.lies = Lies()
    assert LateTraces(scene.database, open_pool(scene.settings), scene.now).tick() == 1
    assert_true(scene, first)


def test_a_reorganisation_of_one_block_does_not_cancel_a_backfill(scene: AccountScene) -> None:
    late = scene.node.accounts[5]
    scene.node.send(late, scene.stranger, ETHER)
    scene.node.mine(FINALITY)
    scene.tick()
    scene.watch(late)
    scene.open()
    with scene.database.transaction() as session:
        jobs.add(
            session, chain=CHAIN, wallets=[scene.wallet(late)], from_height=1, now=scene.now()
        )
    worker = EthereumBackfill(scene.database, scene.pool, scene.settings, scene.now)
    scene.node.reorg(1)
    scene.node.mine(1)
    scene.tick()
    assert not scene.wallet(late).opening_known
    report = worker.slice(60)
    with scene.database.transaction() as session:
        job = jobs.next_job(session, CHAIN)
    assert job is not None, report
    scene.open()
    scene.node.mine(FINALITY)
    scene.tick()
    while worker.slice(60).more:
        pass
    assert scene.wallet(late).history_from == 1
    assert scene.deltas(late) == scene.true_deltas(late, 1)
