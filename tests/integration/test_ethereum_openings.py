"""The seam of a new wallet, and the backfill of what came before it, on a real Ethereum node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import func, select

from tests.account_scene import ETHER, AccountScene, key_of
from tests.anvil import WETH, Anvil, run
from tracker.chains.ethereum.assets import AssetTable, Token
from tracker.chains.ethereum.pool import EthereumPool
from tracker.chains.ethereum.sources import open_sources
from tracker.db.chain import Balance, DayFlow, Movement
from tracker.db.reconciliation import BackfillJob
from tracker.errors import InputError
from tracker.scanning.ethereum_backfill import EthereumBackfill
from tracker.scanning.ethereum_openings import EthereumOpenings
from tracker.scanning.jobs import repository as jobs

FINALITY = 72


@pytest.fixture
def node() -> Iterator[Anvil]:
    with run() as anvil:
        anvil.place_canonical()
        yield anvil


@pytest.fixture
def scene(postgres_url: str, node: Anvil) -> Iterator[AccountScene]:
    found = AccountScene(postgres_url, node)
    found.tick()
    found.open()
    yield found
    found.database.dispose()


def assert_adds_up(scene: AccountScene) -> None:
    """Invariant 2: a balance is the sum of its canonical movements, and so are its days."""
    with scene.database.transaction() as session:
        moved = {
            (wallet, asset, bucket): total
            for wallet, asset, bucket, total in session.exec(
                select(
                    Movement.wallet_id, Movement.asset, Movement.bucket, func.sum(Movement.amount)
                )
                .where(Movement.canonical)
                .group_by(Movement.wallet_id, Movement.asset, Movement.bucket)
            )
            if total
        }
        balances = {
            (row.wallet_id, row.asset, row.bucket): row.amount
            for row in session.exec(select(Balance))
            if row.amount
        }
        days = {
            (wallet, asset, bucket): total
            for wallet, asset, bucket, total in session.exec(
                select(
                    DayFlow.wallet_id, DayFlow.asset, DayFlow.bucket, func.sum(DayFlow.amount)
                ).group_by(DayFlow.wallet_id, DayFlow.asset, DayFlow.bucket)
            )
            if total
        }
    assert moved == balances == days


def test_a_wallet_added_while_the_scan_runs_is_opened_at_the_ledgers_block(
    scene: AccountScene,
) -> None:
    late = scene.node.accounts[5]
    scene.node.send(late, scene.stranger, ETHER)
    scene.tick()
    scene.watch(late)
    assert not scene.wallet(late).opening_known
    scene.node.send(late, scene.stranger, 2 * ETHER)  # counted before the snapshot
    scene.tick()
    assert scene.open().opened == 1
    wallet = scene.wallet(late)
    assert wallet.opening_known
    assert wallet.opening_height == scene.node.height
    assert scene.balance(late) == scene.node.balance(late)
    scene.node.send(late, scene.stranger, 3 * ETHER)
    scene.tick()
    assert scene.balance(late) == scene.node.balance(late)
    assert_adds_up(scene)


class Mainnet(EthereumPool):
    """The same node, taken for the mainnet's."""

    def network(self) -> str:
        return "mainnet"


def test_a_token_that_is_made_later_is_no_reason_to_wait_for_an_opening(
    scene: AccountScene,
) -> None:
    """Where the scan starts in the past; one that is there and does not answer is waited for."""
    late = scene.node.accounts[5]
    scene.node.at("Weth", WETH).send("deposit", value=ETHER, sender=late)
    scene.tick()
    scene.watch(late)
    pool = Mainnet(open_sources(scene.settings), network="chain-31337")
    broken = scene.node.deploy("Mover")
    scene.tick()
    table = AssetTable([*scene.assets.tokens, Token("BROKEN", key_of(broken.address))])
    assert EthereumOpenings(scene.database, pool, table).tick().opened == 0
    assert EthereumOpenings(scene.database, pool, scene.assets).tick().opened == 1
    assert scene.balance(late) == scene.node.balance(late)
    assert scene.balance(late, "WETH") == ETHER


def test_an_opening_falls_with_its_block_and_is_taken_again(scene: AccountScene) -> None:
    late = scene.node.accounts[5]
    scene.node.mine(3)
    scene.tick()
    scene.watch(late)
    scene.open()
    scene.node.reorg(2)
    scene.node.send(late, scene.stranger, ETHER)
    scene.tick()
    wallet = scene.wallet(late)
    assert (wallet.opening_known, wallet.opening_hash) == (False, None)
    assert_adds_up(scene)
    scene.open()
    assert scene.balance(late) == scene.node.balance(late)
    assert_adds_up(scene)


def backfill(scene: AccountScene, address: str, from_height: int) -> BackfillJob:
    with scene.database.transaction() as session:
        job = jobs.add(
            session,
            chain="ethereum",
            wallets=[scene.wallet(address)],
            from_height=from_height,
            now=scene.now(),
        )
        session.expunge(job)
    worker = EthereumBackfill(
        scene.database, scene.pool, scene.settings, scene.now, scene.assets
    )
    while worker.slice(5).more:
        pass
    with scene.database.transaction() as session:
        found = session.get(BackfillJob, job.id)
        session.expunge(found)
    return found


def test_backfill_dates_what_the_opening_holds_and_nothing_is_counted_twice(
    scene: AccountScene,
) -> None:
    late = scene.node.accounts[5]
    start = scene.node.height + 1
    weth = scene.node.at("Weth", WETH)
    scene.node.send(late, scene.treasury, ETHER)
    scene.node.send(scene.stranger, late, 2 * ETHER)
    weth.send("deposit", value=ETHER, sender=late)
    scene.tick()
    scene.watch(late)
    scene.node.send(late, scene.stranger, ETHER)
    scene.tick()
    scene.open()
    scene.node.send(late, scene.stranger, ETHER)
    scene.node.mine(FINALITY)
    scene.tick()
    before = (scene.balance(late), scene.balance(late, "WETH"))
    job = backfill(scene, late, 0)
    assert (job.state, job.next_height) == ("done", job.to_height + 1)
    assert (scene.balance(late), scene.balance(late, "WETH")) == before
    assert before == (scene.node.balance(late), ETHER)
    assert scene.deltas(late) == scene.true_deltas(late, start)
    openings = [m for m in scene.movements(late) if m.kind == "opening"]
    assert [(m.asset, m.amount, m.height) for m in openings] == [
        ("ETH", 10_000 * ETHER, -1)  # what anvil gives in its first block, by no transaction
    ]
    assert scene.wallet(late).history_from == 0
    [found] = scene.discrepancies()
    assert (found.explanation, found.amount) == ("unresolved_range", 10_000 * ETHER)
    assert_adds_up(scene)
    assert {t.intent for t in scene.transfers() if t.asset == "WETH"} == {"internal"}
    with pytest.raises(InputError, match="nothing to read"):
        backfill(scene, late, 0)
