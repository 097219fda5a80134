"""Without traces probes find and date what the records miss; late traces explain it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.account_scene import ETHER, AccountScene
from tests.anvil import Anvil, run
from tests.rpc_lies import TRACES, Lies
from tests.withdrawals import RpcProxy, proxying
from tracker.reconciliation.ethereum import EthereumReconcile
from tracker.reconciliation.late_traces import LateTraces

FINALITY = 72  # anvil's `finalized` lags its tip by 64 blocks


@pytest.fixture
def node() -> Iterator[Anvil]:
    with run() as anvil:
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


def reconcile(scene: AccountScene) -> EthereumReconcile:
    return EthereumReconcile(scene.database, scene.pool, scene.now, scene.assets, probe_gap=1)


def people(scene: AccountScene) -> tuple[str, ...]:
    return scene.treasury, scene.second, scene.rival


def test_internal_moves_become_one_residual_a_block_and_the_delta_is_the_nodes(
    scene: AccountScene, proxy: RpcProxy
) -> None:
    mover = scene.node.deploy("Mover")
    first = scene.node.height + 1
    mover.send("forward", scene.treasury, value=ETHER, sender=scene.stranger)
    mover.send("spread", [scene.treasury, scene.second], [5, 7], value=12, sender=scene.stranger)
    scene.node.mine(3)
    mover.send("createAndDestroy", scene.treasury, value=ETHER, sender=scene.second)
    scene.node.mine(FINALITY)
    scene.tick()
    assert scene.deltas(scene.treasury) == {}
    assert not scene.block_row(first).traced
    report = reconcile(scene).tick()
    assert (report.residuals, report.unresolved) == (4, 0)
    for person in people(scene):
        assert scene.deltas(person) == scene.true_deltas(person, first), person
        assert scene.balance(person) == scene.node.balance(person)
    assert {(d.state, d.explanation) for d in scene.discrepancies()} == {("explained", "internal")}
    again = reconcile(scene).tick()
    assert (again.probed, again.residuals) == (0, 0)

    proxy.lies.hidden = ()
    assert LateTraces(scene.database, scene.new_scan()._nodes, scene.now).tick() == 3
    for person in people(scene):
        assert scene.deltas(person) == scene.true_deltas(person, first), person
    assert not [m for m in scene.movements(scene.treasury) if m.kind == "residual"]
    assert {d.state for d in scene.discrepancies()} == {"closed"}
    assert scene.block_row(first).traced


def test_a_safes_payout_is_read_from_its_call_and_traces_that_come_late_count_it_once(
    scene: AccountScene, proxy: RpcProxy
) -> None:
    """The same block has a payment inside a transaction, so that a residual asks for traces."""
    nobody = "0x" + "00" * 20
    owners = sorted(scene.node.accounts[:2])
    vault = scene.node.deploy("SafeProxy", scene.node.deploy("Safe").address)
    safe = scene.node.at("Safe", vault.address)
    safe.send("setup", owners, 2)
    scene.node.send(scene.stranger, safe.address, 9 * ETHER)
    mover = scene.node.deploy("Mover")
    scene.tick()
    scene.watch(safe.address)
    scene.open()
    payout = (scene.exchange, 6 * ETHER, b"", 0)
    safe.send("approveHash", safe.call("hashOf", *payout, 0), sender=owners[1])
    signed = b"".join(bytes(12) + bytes.fromhex(o[2:]) + bytes(32) + b"\x01" for o in owners)
    first = scene.node.height + 1
    with scene.node.one_block():
        safe.send("execTransaction", *payout, 0, 0, 0, nobody, nobody, signed, sender=owners[0])
        mover.send("forward", safe.address, value=ETHER, sender=scene.stranger)
    scene.tick()
    assert scene.deltas(safe.address) == {first: -6 * ETHER}
    assert [(t.intent, t.net + t.fee) for t in scene.transfers()] == [("sale", -6 * ETHER)]
    [alert] = scene.alerts()
    assert alert.amount == 6 * ETHER
    scene.node.mine(FINALITY)
    scene.tick()
    reconcile(scene).tick()
    assert scene.deltas(safe.address) == {first: -5 * ETHER}
    proxy.lies.hidden = ()
    assert LateTraces(scene.database, scene.new_scan()._nodes, scene.now).tick() == 1
    found = [(m.ref, m.amount) for m in scene.movements(safe.address) if m.kind != "opening"]
    assert found == [("trace:0", ETHER), ("trace:0.0", -6 * ETHER)]
    assert scene.balance(safe.address) == scene.node.balance(safe.address) == 4 * ETHER
