"""Reorganisations of a real regtest chain: alerts and ledger through every kind of fork."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.scene import FEE, FIRST, FUNDS, Scene, second
from tracker.domain.chain import Tip
from tracker.errors import DeepForkError, SourceUnavailableError
from tracker.ledger import repository as ledger


@pytest.fixture
def scene(postgres_url: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(postgres_url, tmp_path)
    yield made
    made.database.dispose()


def test_a_reorganisation_that_mines_the_sale_again_opens_nothing_new(scene: Scene) -> None:
    sale = scene.sell()
    scene.chain.mine(1, txs=[sale])
    height = scene.chain.height
    scene.tick()
    (before,) = scene.alerts()
    scene.chain.fork(height - 1)
    scene.chain.mine(2, to=second(), txs=[sale])
    report = scene.tick()
    assert report.orphaned == 1
    (alert,) = scene.alerts()
    assert (alert.id, alert.status, alert.revision) == (before.id, "open", 2)
    assert scene.event_types() == ["sell_off.opened", "sell_off.revised"]
    assert scene.balance() == FUNDS - 10 * 10**8 - FEE
    assert scene.transfers()[-1].height == height


def test_a_reorganisation_that_drops_the_sale_retracts_the_alert(scene: Scene) -> None:
    scene.chain.mine(1, txs=[scene.sell()])
    height = scene.chain.height
    scene.tick()
    (before,) = scene.alerts()
    scene.chain.fork(height - 1)
    scene.chain.mine(2, to=second())
    scene.tick()
    (alert,) = scene.alerts()
    assert (alert.id, alert.status) == (before.id, "retracted")
    assert scene.event_types() == ["sell_off.opened", "sell_off.retracted"]
    assert scene.balance() == FUNDS
    assert [t.intent for t in scene.transfers()] == ["unknown_in"]


def test_a_dropped_sale_that_is_mined_later_revives_the_same_alert(scene: Scene) -> None:
    sale = scene.sell()
    scene.chain.mine(1, txs=[sale])
    height = scene.chain.height
    scene.tick()
    scene.chain.fork(height - 1)
    scene.chain.mine(2, to=second())
    scene.tick()
    scene.chain.mine(1, txs=[sale])
    scene.tick()
    (alert,) = scene.alerts()
    assert alert.status == "open"
    assert scene.event_types() == ["sell_off.opened", "sell_off.retracted", "sell_off.revised"]


def test_a_chain_that_comes_back_leaves_the_same_ledger(scene: Scene) -> None:
    """A to B and back to A: the first branch's movements are canonical again, once."""
    sale = scene.sell()
    first = scene.chain.mine(1, txs=[sale])
    height = scene.chain.height
    scene.tick()
    one_branch = scene.ledger()
    scene.chain.fork(height - 1)
    scene.chain.mine(2, to=second())
    scene.tick()
    scene.chain._branch = [scene.chain._blocks[scene.chain.block_hash(n)] for n in range(height)]
    scene.chain._branch.append(first[0])
    scene.chain.mine(2)
    scene.tick()
    assert scene.ledger() == one_branch
    assert [alert.status for alert in scene.alerts()] == ["open"]


def test_a_fork_below_the_final_height_halts_the_chain(postgres_url: str, tmp_path: Path) -> None:
    scene = Scene(postgres_url, tmp_path)
    scene.chain.mine(105)
    scene.tick()
    before = scene.ledger()
    scene.chain.fork(102)
    scene.chain.mine(107, to=second())
    with pytest.raises(DeepForkError):
        scene.tick()
    assert scene.ledger() == before
    with scene.database.transaction() as session:
        cursor = ledger.cursor_of(session, "bitcoin")
    assert cursor is not None
    assert cursor.halted is not None
    with pytest.raises(DeepForkError):
        scene.tick()
    scene.database.dispose()


def test_a_reorganisation_of_two_blocks_brings_back_both_sales(scene: Scene) -> None:
    first = scene.sell()
    (block,) = scene.chain.mine(1, txs=[first])
    change = next(u for u in block.utxos if u.script == scene.holder)
    again = scene.chain.spend(change, [(scene.exchange, 5 * 10**8)], change=scene.holder)
    scene.chain.mine(1, txs=[again])
    height = scene.chain.height
    scene.tick()
    (before,) = scene.alerts()
    scene.chain.fork(height - 2)
    scene.chain.mine(1, to=second())
    scene.chain.mine(2, to=second(), txs=[first, again])
    scene.tick()
    (alert,) = scene.alerts()
    assert (alert.id, alert.status, alert.amount) == (before.id, "open", 15 * 10**8)
    assert alert.suspended_height is None
    told = scene.event_types()
    assert told.count("sell_off.opened") == 1
    assert told[-1] == "sell_off.revised"


def test_a_branch_still_below_the_sale_decides_nothing(postgres_url: str, tmp_path: Path) -> None:
    """Applied one block a tick, the new branch stays short for a while, then holds the sale."""
    scene = Scene(postgres_url, tmp_path, options={"bitcoin_max_blocks_per_tick": 1})
    sale = scene.sell()
    scene.chain.mine(2)
    scene.chain.mine(1, txs=[sale])
    height = scene.chain.height
    while scene.tick().more:
        pass
    scene.chain.fork(height - 3)
    scene.chain.mine(2, to=second())
    scene.chain.mine(3, to=second(), txs=[sale])
    for status in ("suspended", "suspended", "open", "open", "open"):
        scene.tick()
        (alert,) = scene.alerts()
        assert alert.status == status
    assert alert.suspended_height is None
    assert scene.event_types() == ["sell_off.opened", "sell_off.revised"]
    scene.database.dispose()


def test_the_first_block_of_the_scan_can_be_orphaned_too(scene: Scene) -> None:
    scene.tick()
    assert scene.balance() == FUNDS
    scene.chain.fork(FIRST - 1)
    scene.chain.mine(2, to=second())
    report = scene.tick()
    assert (report.orphaned, report.applied, report.height) == (1, 2, FIRST + 1)
    assert scene.balance() == 0
    scene.chain.fork(FIRST - 2)  # below it nothing is known: that is for a person to decide
    scene.chain.mine(4, to=second())
    with pytest.raises(DeepForkError):
        scene.tick()


def test_a_source_whose_blocks_do_not_link_is_put_aside(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shares our newest block, and names another chain's block as the one above."""
    scene.tick()
    height = scene.chain.height
    scene.chain.fork(height - 1)
    (other,) = scene.chain.mine(1, to=second())
    (stray,) = scene.chain.mine(1, to=second())
    pool = scene.scan._pool
    ours = scene.ledger()
    with scene.database.transaction() as session:
        cursor = ledger.cursor_of(session, "bitcoin")
    assert cursor is not None
    assert cursor.hash != other.hash
    hashes = {height: cursor.hash, height + 1: stray.hash}
    monkeypatch.setattr(pool, "block_hash", hashes.get)
    monkeypatch.setattr(pool, "tip", lambda: Tip(height + 1, stray.hash))
    with pytest.raises(SourceUnavailableError):
        scene.tick()
    assert [source.state for source in pool.states()] == ["lying"]
    assert scene.ledger() == ours


def test_only_a_new_height_is_a_sign_of_life(postgres_url: str, tmp_path: Path) -> None:
    """Not a tick that finds nothing, nor a fork whose blocks only reach the old height again."""
    scene = Scene(postgres_url, tmp_path, options={"bitcoin_max_blocks_per_tick": 1})

    def tick() -> datetime:
        scene.late += timedelta(hours=1)
        scene.tick()
        with scene.database.transaction() as session:
            cursor = ledger.cursor_of(session, "bitcoin")
            assert cursor is not None
            return cursor.tip_advanced_at

    assert tick() == scene.now()
    scene.chain.mine(1)
    alive = tick()
    assert alive == scene.now()
    assert tick() == alive
    scene.chain.fork(scene.chain.height - 1)
    scene.chain.mine(2, to=second())
    assert tick() == alive  # rolled back, and one block of the new branch
    assert tick() == scene.now() != alive
    scene.database.dispose()
