"""Followed coins: swept to a venue in one hop, in part, too late, or after their holder left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from tests.regtest import MinedBlock, key
from tests.scene import Scene, second
from tracker.db.chain import FollowedOutpoint
from tracker.db.registry import Wallet
from tracker.ledger.coins import repository as coins
from tracker.registry import repository as registry


@pytest.fixture
def scene(postgres_url: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(postgres_url, tmp_path)
    yield made
    made.database.dispose()


def test_coins_swept_to_a_venue_in_one_hop_become_a_probable_sale(scene: Scene) -> None:
    hop = scene.chain.add_key(key(9))
    (out,) = scene.chain.mine(1, txs=[scene.sell(to=hop)])
    scene.tick()
    assert scene.transfers()[-1].intent == "unknown_out"
    assert scene.alerts() == []
    moved = next(utxo for utxo in out.utxos if utxo.script == hop)
    sweep = scene.chain.spend(moved, [(scene.exchange, moved.amount - 500)])
    scene.chain.mine(1, txs=[sweep])
    height = scene.chain.height
    scene.tick()
    (alert,) = scene.alerts()
    assert alert.amount == 10 * 10**8
    assert any(item["rule"] == "one_hop_sweep" for item in alert.evidence)
    assert scene.transfers()[-1].intent == "sale"
    # The sweep is orphaned: the outflow is unexplained again, and the alert taken back.
    scene.chain.fork(height - 1)
    scene.chain.mine(2, to=second())
    scene.tick()
    assert scene.alerts()[0].status == "retracted"
    assert scene.transfers()[-1].intent == "unknown_out"


def test_followed_coins_expire_in_block_time(postgres_url: str, tmp_path: Path) -> None:
    scene = Scene(postgres_url, tmp_path, options={"follow_blocks": 3})
    scene.chain.mine(1, txs=[scene.sell(to=scene.stranger)])
    (out,) = [u for u in scene.chain.tip.utxos if u.script == scene.stranger]
    scene.tick()
    scene.chain.mine(4)
    scene.chain.mine(1, txs=[scene.chain.spend(out, [(scene.exchange, out.amount - 500)])])
    scene.tick()
    assert scene.alerts() == []
    with scene.database.transaction() as session:
        (followed,) = session.exec(select(FollowedOutpoint)).all()
    assert followed.spent_height is None
    scene.database.dispose()


def two_hops(scene: Scene) -> tuple[MinedBlock, list[bytes]]:
    """The holder pays 10 and 6 BTC to two fresh addresses; returns the block and their scripts."""
    hops = [scene.chain.add_key(key(number)) for number in (9, 10)]
    paid = scene.chain.spend(
        scene.coin(), [(hops[0], 10 * 10**8), (hops[1], 6 * 10**8)], change=scene.holder
    )
    (block,) = scene.chain.mine(1, txs=[paid])
    scene.tick()
    return block, hops


def sweep(scene: Scene, block: MinedBlock, hop: bytes) -> None:
    coin = next(utxo for utxo in block.utxos if utxo.script == hop)
    moved = scene.chain.spend(coin, [(scene.exchange, coin.amount - 500)])
    scene.chain.mine(1, txs=[moved])


def test_an_orphaned_sweep_of_two_leaves_the_outflow_a_sale(scene: Scene) -> None:
    block, hops = two_hops(scene)
    sweep(scene, block, hops[0])
    sweep(scene, block, hops[1])
    height = scene.chain.height
    scene.tick()
    (alert,) = scene.alerts()
    assert alert.amount == 16 * 10**8
    scene.chain.fork(height - 1)
    scene.chain.mine(2, to=second())
    scene.tick()
    (alert,) = scene.alerts()
    assert (alert.status, alert.amount) == ("open", 10 * 10**8)
    assert scene.transfers()[-1].intent == "sale"
    scene.chain.fork(height - 2)
    scene.chain.mine(4, to=second())
    scene.tick()
    assert scene.alerts()[0].status == "retracted"
    assert scene.transfers()[-1].intent == "unknown_out"


def test_a_sweep_that_pays_the_venue_in_part_counts_that_part(scene: Scene) -> None:
    block, hops = two_hops(scene)
    coin = next(utxo for utxo in block.utxos if utxo.script == hops[0])
    paid = scene.chain.spend(coin, [(scene.exchange, 6 * 10**8), (second(), 4 * 10**8 - 500)])
    scene.chain.mine(1, txs=[paid])
    scene.tick()
    (alert,) = scene.alerts()
    assert alert.amount is not None
    assert 6 * 10**8 <= alert.amount < 6 * 10**8 + 500


@pytest.mark.parametrize("how", ["wallet removed", "entity disabled"])
def test_coins_of_a_holder_that_is_gone_make_no_alert_when_swept(scene: Scene, how: str) -> None:
    block, hops = two_hops(scene)
    with scene.database.transaction() as session:
        if how == "wallet removed":
            session.exec(select(Wallet)).one().closed_at = scene.now()
        else:
            registry.get_entity(session, "acme").enabled = False
        registry.bump_watch_set(session, "bitcoin")
    sweep(scene, block, hops[0])
    scene.tick()
    assert scene.alerts() == []


def test_expired_coins_make_room_and_are_forgotten_once_final(
    postgres_url: str, tmp_path: Path
) -> None:
    scene = Scene(postgres_url, tmp_path, options={"follow_blocks": 3, "follow_max_outpoints": 2})
    block, _ = two_hops(scene)
    with scene.database.transaction() as session:
        height = scene.chain.height
        assert coins.followed_count(session, "bitcoin", height) == 2
        assert coins.followed_count(session, "bitcoin", height + 4) == 0
    scene.chain.mine(4)
    change = next(utxo for utxo in block.utxos if utxo.script == scene.holder)
    paid = scene.chain.spend(change, [(scene.stranger, 10**8)], change=scene.holder)
    scene.chain.mine(1, txs=[paid])
    scene.tick()
    with scene.database.transaction() as session:
        assert len(session.exec(select(FollowedOutpoint)).all()) == 3
    scene.chain.mine(106)
    scene.tick()
    with scene.database.transaction() as session:
        assert session.exec(select(FollowedOutpoint)).all() == []
    scene.database.dispose()
