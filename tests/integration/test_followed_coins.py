"""What is followed of an unexplained outflow: capped, one hop deep, apart from any balance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlmodel import select

from tests.regtest import key, p2wpkh
from tests.scene import FEE, FUNDS, Scene
from tracker.db.chain import Balance, FollowedOutpoint, Movement, Utxo
from tracker.scanning import chain_scan
from tracker.scanning.bitcoin_block import FOLLOWED_PER_TRANSFER

COIN = 10**8


@pytest.fixture
def scene(postgres_url: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(postgres_url, tmp_path)
    yield made
    made.database.dispose()


def followed(scene: Scene) -> list[FollowedOutpoint]:
    with scene.database.transaction() as session:
        rows = session.exec(select(FollowedOutpoint).order_by(FollowedOutpoint.amount.desc()))
        return list(rows)


def pay_out(scene: Scene, count: int) -> None:
    """The holder pays `count` strangers 1, 2, 3… thousandths of a coin."""
    outputs = [(p2wpkh(key(100 + number)), number * COIN // 1000) for number in range(1, count + 1)]
    paid = scene.chain.spend(scene.coin(), outputs, change=scene.holder)
    scene.chain.mine(1, txs=[paid])
    scene.tick()


def test_of_a_payment_to_many_the_largest_are_followed(scene: Scene) -> None:
    pay_out(scene, FOLLOWED_PER_TRANSFER + 5)
    amounts = [row.amount for row in followed(scene)]
    assert amounts == [number * COIN // 1000 for number in range(25, 5, -1)]


def test_the_whole_installation_follows_no_more_than_its_limit(
    postgres_url: str, tmp_path: Path
) -> None:
    scene = Scene(postgres_url, tmp_path, options={"follow_max_outpoints": 3})
    pay_out(scene, 8)
    assert [row.amount for row in followed(scene)] == [8 * 10**5, 7 * 10**5, 6 * 10**5]
    change = next(u for u in scene.chain.tip.utxos if u.script == scene.holder)
    again = scene.chain.spend(change, [(scene.stranger, COIN)], change=scene.holder)
    scene.chain.mine(1, txs=[again])
    scene.tick()
    assert len(followed(scene)) == 3
    scene.database.dispose()


def test_coins_are_followed_for_one_hop_only(scene: Scene) -> None:
    hop, further = scene.chain.add_key(key(9)), scene.chain.add_key(key(10))
    (block,) = scene.chain.mine(1, txs=[scene.sell(to=hop)])
    scene.tick()
    (row,) = followed(scene)
    assert row.depth == 1
    coin = next(utxo for utxo in block.utxos if utxo.script == hop)
    onward = scene.chain.spend(coin, [(further, coin.amount - FEE)])
    (block,) = scene.chain.mine(1, txs=[onward])
    scene.tick()
    (row,) = followed(scene)
    assert (row.key, row.spent_height) == (hop, block.height)
    coin = next(utxo for utxo in block.utxos if utxo.script == further)
    scene.chain.mine(1, txs=[scene.chain.spend(coin, [(scene.exchange, coin.amount - FEE)])])
    scene.tick()
    assert scene.alerts() == []


def test_followed_coins_are_in_no_balance_and_no_movement(scene: Scene) -> None:
    scene.chain.mine(1, txs=[scene.sell(to=scene.stranger)])
    scene.tick()
    (row,) = followed(scene)
    assert (row.key, row.amount) == (scene.stranger, 10 * COIN)
    with scene.database.transaction() as session:
        for table in (Balance, Movement, Utxo):
            assert set(session.exec(select(table.key))) == {scene.holder}
    assert scene.balance() == FUNDS - 10 * COIN - FEE


def test_they_are_written_with_their_block_or_not_at_all_and_fall_with_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.tick()
    below = scene.chain.height
    scene.chain.mine(1, txs=[scene.sell(to=scene.stranger)])
    monkeypatch.setattr(
        chain_scan.chain_sales, "judge", Mock(side_effect=RuntimeError("crash"))
    )
    with pytest.raises(RuntimeError, match="crash"):
        scene.tick()
    assert followed(scene) == []
    monkeypatch.undo()
    scene.tick()
    assert len(followed(scene)) == 1
    scene.chain.fork(below)
    scene.chain.mine(2)
    scene.tick()
    assert followed(scene) == []
