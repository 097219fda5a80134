"""The Ethereum scan over a real node: every balance change of every watched account, per block."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.account_scene import ETHER, AccountScene
from tests.anvil import Anvil, run


@pytest.fixture
def node() -> Iterator[Anvil]:
    with run() as anvil:
        yield anvil


@pytest.fixture
def scene(postgres_url: str, node: Anvil) -> Iterator[AccountScene]:
    found = AccountScene(postgres_url, node)
    found.tick()
    found.open()
    yield found
    found.database.dispose()


ACTS = ("pay", "forward", "tryForward", "forwardThenFail", "payFeeRecipient")


def assert_true(scene: AccountScene, first: int) -> None:
    """Every watched account's delta of every block is the node's."""
    for address in (scene.treasury, scene.second, scene.rival):
        assert scene.deltas(address) == scene.true_deltas(address, first), address
        assert scene.balance(address) == scene.node.balance(address), address


def test_a_wallet_is_opened_with_what_it_holds_and_its_transfers_follow(
    scene: AccountScene,
) -> None:
    assert scene.balance(scene.treasury) == scene.node.balance(scene.treasury)
    assert scene.wallet(scene.treasury).opening_known
    first = scene.node.height + 1
    scene.node.send(scene.treasury, scene.exchange, 5 * ETHER)
    scene.node.send(scene.stranger, scene.second, 2 * ETHER)
    scene.node.send(scene.treasury, scene.second, 1 * ETHER)
    scene.tick()
    assert_true(scene, first)
    kinds = [(t.intent, t.net + t.fee) for t in scene.transfers()]
    assert kinds == [("sale", -5 * ETHER), ("unknown_in", 2 * ETHER), ("internal", 0)]
    [alert] = scene.alerts()
    assert (alert.rule, alert.asset, alert.amount) == ("sell_off", "ETH", 5 * ETHER)


def test_internal_moves_of_contracts_are_itemised_with_traces(scene: AccountScene) -> None:
    mover = scene.node.deploy("Mover")
    first = scene.node.height + 1
    mover.send("forward", scene.treasury, value=ETHER, sender=scene.stranger)
    mover.send("nest", 3, scene.second, value=ETHER, sender=scene.rival)
    mover.send("tryForward", scene.treasury, value=ETHER, sender=scene.second)
    mover.send("forwardThenFail", scene.treasury, value=ETHER, sender=scene.second)
    mover.send("spread", [scene.treasury, scene.rival], [1, 2], value=3, sender=scene.second)
    mover.send("createPaying", scene.rival, value=ETHER, sender=scene.second)
    mover.send("createAndDestroy", scene.treasury, value=ETHER, sender=scene.second)
    mover.send("callWithZero", scene.treasury, sender=scene.second)
    scene.tick()
    assert_true(scene, first)


def test_random_blocks_give_the_nodes_own_deltas(scene: AccountScene) -> None:
    rng = random.Random(3)
    mover = scene.node.deploy("Mover")
    first = scene.node.height + 1
    people = [scene.treasury, scene.second, scene.rival, scene.stranger]
    for _ in range(6):
        scene.node.set_fee_recipient(rng.choice(people))
        with scene.node.one_block():
            for _ in range(rng.randint(1, 4)):
                payer, payee = rng.choice(people), rng.choice(people)
                act = rng.choice(ACTS)
                if act == "pay":
                    scene.node.send(payer, payee, rng.randint(0, ETHER))
                elif act == "payFeeRecipient":
                    mover.send(act, value=ETHER // 7, sender=payer)
                else:
                    mover.send(act, payee, value=rng.randint(1, ETHER), sender=payer)
    scene.tick()
    assert_true(scene, first)
