"""Rewards of blocks less than 100 deep are held but cannot be spent yet: how much that is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.regtest import MATURITY, SUBSIDY
from tests.scene import FEE, FUNDS, Scene
from tracker.ledger.coins import repository as coins
from tracker.registry import repository as registry
from tracker.registry import wallets


@pytest.fixture
def scene(postgres_url: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(postgres_url, tmp_path)
    yield made
    made.database.dispose()


def immature(scene: Scene, height: int | None = None, entity: str = "acme") -> int:
    with scene.database.transaction() as session:
        owner = registry.get_entity(session, entity)
        assert owner.id is not None
        return coins.immature(session, owner.id, scene.chain.height if height is None else height)


def test_a_reward_is_immature_until_the_next_block_is_the_hundredth_above_it(scene: Scene) -> None:
    (block,) = scene.chain.mine(1, to=scene.holder)
    scene.tick()
    assert immature(scene) == SUBSIDY
    assert scene.balance() == FUNDS + SUBSIDY  # held all the same
    scene.chain.mine(MATURITY - 2)
    scene.tick()
    assert immature(scene) == SUBSIDY
    reward = scene.chain.coinbase(block.height)
    early = scene.chain.spend(reward, [(scene.exchange, SUBSIDY - FEE)])
    with pytest.raises(AssertionError, match="refused"):  # the consensus library says so too
        scene.chain.mine(1, txs=[early])
    scene.chain.fork(scene.chain.height)
    scene.chain.mine(1)
    scene.tick()
    assert immature(scene) == 0
    scene.chain.mine(1, txs=[early])  # one block later it is taken
    scene.tick()
    assert scene.balance() == FUNDS


def test_it_can_be_asked_for_an_earlier_height(scene: Scene) -> None:
    first, second = scene.chain.mine(2, to=scene.holder)
    scene.tick()
    assert immature(scene, first.height - 1) == 0
    assert immature(scene, first.height) == SUBSIDY
    assert immature(scene, second.height) == 2 * SUBSIDY
    assert immature(scene, first.height + MATURITY - 2) == 2 * SUBSIDY
    assert immature(scene, first.height + MATURITY - 1) == SUBSIDY


def test_a_reward_that_is_orphaned_is_gone_and_payments_never_count(scene: Scene) -> None:
    below = scene.chain.height
    scene.chain.mine(1, to=scene.holder)
    scene.tick()
    assert immature(scene) == SUBSIDY
    scene.chain.fork(below)
    scene.chain.mine(2)
    scene.tick()
    assert immature(scene) == 0
    assert scene.balance() == FUNDS


def test_of_a_wallet_that_is_no_longer_ours_nothing_counts(scene: Scene) -> None:
    scene.chain.mine(1, to=scene.holder)
    scene.tick()
    with scene.database.transaction() as session:
        wallets.remove(
            session, chain="bitcoin", address=scene.address(scene.holder), now=scene.now(),
            network="regtest",
        )
    assert immature(scene) == 0
