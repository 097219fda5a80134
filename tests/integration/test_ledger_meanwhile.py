"""What happens to wallets and holders while probes, late traces and backfill are at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlmodel import select

from tests.account_scene import CHAIN, ETHER, AccountScene, key_of
from tests.anvil import WETH, Anvil, run
from tests.rpc_lies import TRACES, Lies
from tests.simulation import assert_books
from tests.withdrawals import RpcProxy, proxying
from tracker.chains.ethereum.pool import open_pool
from tracker.db.chain import Balance
from tracker.db.reconciliation import BackfillJob
from tracker.db.registry import Wallet
from tracker.ledger.history import repository as history
from tracker.reconciliation.ethereum import EthereumReconcile
from tracker.reconciliation.late_traces import LateTraces
from tracker.registry import entities, wallets
from tracker.registry import repository as registry
from tracker.registry.replacement import WalletRow, replace_wallets
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
    assert_books(found.database, CHAIN, "in the end")
    found.database.dispose()


def probe(scene: AccountScene, gap: int = 1) -> int:
    """Settle what happened, probe what is due; returns how many residuals that made."""
    scene.node.mine(FINALITY)
    scene.tick()
    worker = EthereumReconcile(scene.database, scene.pool, scene.now, probe_gap=gap)
    return worker.tick().residuals


def late_traces(scene: AccountScene, proxy: RpcProxy) -> int:
    """The source offers traces now; returns how many blocks were itemised."""
    proxy.lies.hidden = ()
    return LateTraces(scene.database, open_pool(scene.settings), scene.now).tick()


def held_by(scene: AccountScene, wallet: Wallet) -> int:
    """Wei that the ledger counts under one wallet row."""
    with scene.database.transaction() as session:
        query = select(Balance.amount).where(Balance.wallet_id == wallet.id, Balance.asset == "ETH")
        return session.exec(query).one()


# -- late traces -----------------------------------------------------------------------------------


def test_traces_of_before_a_wallet_changed_hands_are_not_counted_for_its_new_holder(
    scene: AccountScene, proxy: RpcProxy
) -> None:
    mover = scene.node.deploy("Mover")
    mover.send("forward", scene.treasury, value=ETHER, sender=scene.stranger)
    assert probe(scene) == 1
    with scene.database.transaction() as session:
        wallets.remove(session, chain=CHAIN, address=scene.treasury, now=scene.now())
    scene.watch(scene.treasury, "rival")
    scene.open()
    assert late_traces(scene, proxy) == 1
    assert held_by(scene, scene.wallet(scene.treasury)) == scene.node.balance(scene.treasury)


def test_a_safes_payout_stays_where_the_traces_are_read_for_another_wallets_sake(
    scene: AccountScene, proxy: RpcProxy
) -> None:
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
    with scene.node.one_block():
        safe.send("execTransaction", *payout, 0, 0, 0, nobody, nobody, signed, sender=owners[0])
        mover.send("forward", scene.rival, value=ETHER, sender=scene.stranger)
    assert probe(scene) == 1
    assert late_traces(scene, proxy) == 1
    assert scene.balance(scene.rival) == scene.node.balance(scene.rival)
    assert scene.balance(safe.address) == scene.node.balance(safe.address) == 3 * ETHER


def test_traces_are_read_again_for_a_wallet_that_is_probed_after_them(
    scene: AccountScene, proxy: RpcProxy
) -> None:
    mover = scene.node.deploy("Mover")
    first = scene.node.height + 1
    mover.send("spread", [scene.treasury, scene.second], [5, 7], value=12, sender=scene.stranger)
    scene.node.send(scene.stranger, scene.treasury, 1)
    assert probe(scene, gap=1_000) == 1
    assert late_traces(scene, proxy) == 1
    scene.node.send(scene.stranger, scene.second, 1)
    assert probe(scene, gap=1_000) == 1
    assert (late_traces(scene, proxy), late_traces(scene, proxy)) == (1, 0)
    assert {found.state for found in scene.discrepancies()} == {"closed"}
    for address in (scene.treasury, scene.second):
        assert scene.deltas(address) == scene.true_deltas(address, first)
        assert "residual" not in {move.kind for move in scene.movements(address)}


# -- backfill --------------------------------------------------------------------------------------


class Interrupted(EthereumBackfill):
    """Something happens between the last commit of a range and its end."""

    act: Callable[[], None] | None = None

    def _finish(self, job: BackfillJob, wallets: dict[int, Wallet]) -> None:
        act, self.act = self.act, None
        if act is not None:
            act()
        super()._finish(job, wallets)


def late_wallet(scene: AccountScene, slug: str = "acme") -> str:
    """The node's account 5 as a wallet, opened and final now."""
    late = scene.node.accounts[5]
    scene.tick()
    scene.watch(late, slug)
    scene.open()
    scene.node.mine(FINALITY)
    scene.tick()
    return late


def backfill(
    scene: AccountScene, address: str, first: int, act: Callable[[], None] | None = None
) -> None:
    with scene.database.transaction() as session:
        wallet = scene.wallet(address)
        jobs.add(session, chain=CHAIN, wallets=[wallet], from_height=first, now=scene.now())
    worker = Interrupted(scene.database, scene.pool, scene.settings, scene.now)
    worker.act = act
    while worker.slice(60).more:
        pass


def test_a_wallet_that_is_described_anew_as_its_backfill_ends_keeps_its_history(
    scene: AccountScene,
) -> None:
    start = scene.node.height + 1
    for _ in range(2):
        scene.node.send(scene.node.accounts[5], scene.stranger, ETHER)
        scene.node.mine(2)
    late = late_wallet(scene)
    middle = (scene.wallet(late).opening_height or 0) - 2

    def describe() -> None:
        with scene.database.transaction() as session:
            old = registry.open_at(session, CHAIN, [key_of(late)])[key_of(late)]
            row = WalletRow(old.entity_id, CHAIN, old.address, old.key, "cold", "attested")
            replace_wallets(session, [old], [row], scene.now(), owner="operator")

    backfill(scene, late, middle, describe)
    assert (scene.wallet(late).role, scene.wallet(late).history_from) == ("cold", middle)
    backfill(scene, late, start)
    assert scene.wallet(late).history_from == start
    assert scene.deltas(late) == scene.true_deltas(late, start)


def test_a_wallet_opened_as_it_is_described_anew_keeps_its_opening(scene: AccountScene) -> None:
    late = scene.node.accounts[5]
    scene.tick()
    scene.watch(late)
    with scene.database.transaction() as session:
        old = registry.open_at(session, CHAIN, [key_of(late)])[key_of(late)]
        scene.open()
        row = WalletRow(old.entity_id, CHAIN, old.address, old.key, "cold", "attested")
        replace_wallets(session, [old], [row], scene.now(), owner="operator")
    found = scene.wallet(late)
    assert (found.role, found.opening_known) == ("cold", True)
    assert found.opening_height == scene.node.height


def test_an_asset_that_came_and_went_before_its_wallet_was_added_is_found_in_its_past(
    scene: AccountScene,
) -> None:
    weth = scene.node.at("Weth", WETH)
    weth.send("deposit", value=ETHER, sender=scene.node.accounts[5])
    weth.send("withdraw", ETHER, sender=scene.node.accounts[5])
    late = late_wallet(scene, "rival")
    backfill(scene, late, 1)
    with scene.database.transaction() as session:
        found = history.places_of(session, scene.wallet(late).entity_id)
    assert ("WETH", "liquid") in found


def test_what_backfill_finds_is_history_however_young(scene: AccountScene) -> None:
    scene.node.send(scene.node.accounts[5], scene.exchange, 100 * ETHER)
    late = late_wallet(scene)
    backfill(scene, late, 1)
    [alert] = scene.alerts()
    assert (alert.rule, alert.historical) == ("sell_off", True)
    assert scene.event_types() == []


# -- a holder that is switched off -----------------------------------------------------------------


def switch_off(scene: AccountScene, slug: str = "acme") -> None:
    with scene.database.transaction() as session:
        entities.set_enabled(session, slug, enabled=False, now=scene.now())


def test_backfill_ends_for_a_holder_that_is_switched_off(scene: AccountScene) -> None:
    """Its blocks would be read as nobody's, and its past be told as a balance that never moved."""
    scene.node.send(scene.node.accounts[5], scene.stranger, ETHER)
    late = late_wallet(scene)
    seam = scene.wallet(late).history_from
    backfill(scene, late, 1, lambda: switch_off(scene))
    assert scene.wallet(late).history_from == seam
    scene.node.mine(FINALITY)
    scene.tick()
    backfill(scene, late, 1)
    with scene.database.transaction() as session:
        states = [job.state for job in jobs.list_jobs(session)]
    assert states == ["cancelled", "done"]
    assert scene.wallet(late).history_from == seam


def test_a_holder_that_is_switched_off_is_not_probed(scene: AccountScene) -> None:
    switch_off(scene)
    scene.node.send(scene.treasury, scene.stranger, ETHER)
    assert probe(scene) == 0
    assert scene.discrepancies() == []
