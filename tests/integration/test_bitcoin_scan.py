"""The scan over a real regtest chain and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from tests.regtest import key
from tests.scene import FEE, FUNDS, Scene, second
from tracker.db.chain import FollowedOutpoint, Movement, Utxo
from tracker.db.registry import Label, Wallet
from tracker.detection.news import NewsPolicy
from tracker.detection.withdraw import withdraw
from tracker.errors import DeepForkError
from tracker.ledger import repository as ledger
from tracker.registry import repository as registry
from tracker.registry.replacement import ClosedAddress, Removal


@pytest.fixture
def scene(postgres_url: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(postgres_url, tmp_path)
    yield made
    made.database.dispose()


def test_a_sale_to_a_labelled_exchange_opens_one_alert(scene: Scene) -> None:
    scene.chain.mine(1, txs=[scene.sell()])
    report = scene.tick()
    assert report.applied == 2
    assert scene.balance() == FUNDS - 10 * 10**8 - FEE
    (alert,) = scene.alerts()
    assert (alert.rule, alert.intent, alert.status) == ("sell_off", "sale", "open")
    assert alert.amount == 10 * 10**8
    assert not alert.historical
    assert scene.event_types() == ["sell_off.opened"]
    sale = scene.transfers()[-1]
    assert (sale.intent, sale.fee, sale.gross_out, sale.gross_in) == (
        "sale",
        FEE,
        FUNDS,
        FUNDS - 10 * 10**8 - FEE,
    )
    assert sale.counterparties[0]["name"] == "Bourse"


def test_the_block_reward_of_a_watched_wallet_is_mining(scene: Scene) -> None:
    scene.chain.mine(1, to=scene.holder)
    scene.tick()
    transfer = scene.transfers()[-1]
    assert (transfer.intent, transfer.net) == ("mining", 50 * 10**8)
    assert scene.alerts() == []


def test_a_second_tick_and_a_second_worker_change_nothing(scene: Scene) -> None:
    scene.chain.mine(1, txs=[scene.sell()])
    scene.tick()
    before = scene.ledger()
    assert scene.tick().applied == 0
    assert scene.new_scan().tick().applied == 0
    assert scene.ledger() == before
    assert scene.event_types() == ["sell_off.opened"]


def test_what_is_found_long_after_it_happened_is_stored_but_not_told(
    postgres_url: str, tmp_path: Path
) -> None:
    scene = Scene(postgres_url, tmp_path, late=timedelta(days=30))
    scene.chain.mine(1, txs=[scene.sell()])
    scene.tick()
    (alert,) = scene.alerts()
    assert alert.historical
    assert scene.event_types() == []
    scene.database.dispose()


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


def test_two_sales_are_one_alert_that_grows(scene: Scene) -> None:
    first = scene.sell()
    (block,) = scene.chain.mine(1, txs=[first])
    scene.tick()
    change = next(u for u in block.utxos if u.script == scene.holder)
    scene.chain.mine(
        1,
        txs=[scene.chain.spend(change, [(scene.exchange, 5 * 10**8)], change=scene.holder)],
    )
    scene.tick()
    (alert,) = scene.alerts()
    assert alert.amount == 15 * 10**8
    assert [r.transition for r in scene.revisions(alert.id)] == ["opened", "revised"]


def test_a_removed_label_retracts_what_rested_on_it(scene: Scene) -> None:
    scene.chain.mine(1, txs=[scene.sell()])
    scene.tick()
    now = scene.now()
    with scene.database.transaction() as session:
        label = session.exec(select(Label)).one()
        label.closed_at = now
        session.add(label)
        session.flush()
        changed = withdraw(
            session,
            Removal(labels=(ClosedAddress("bitcoin", scene.exchange, "", None),)),
            why="the label pack was removed",
            news=NewsPolicy.of(scene.settings),
            now=now,
        )
    assert changed == 1
    assert scene.alerts()[0].status == "retracted"
    assert scene.transfers()[-1].intent == "unknown_out"
    assert scene.event_types()[-1] == "sell_off.retracted"


def test_a_removed_wallet_retracts_what_rested_on_it(scene: Scene) -> None:
    scene.chain.mine(1, txs=[scene.sell()])
    scene.tick()
    with scene.database.transaction() as session:
        wallet = session.exec(select(Wallet)).one()
        wallet.closed_at = scene.now()
        session.add(wallet)
        session.flush()
        registry.bump_watch_set(session, "bitcoin")
        withdraw(
            session,
            Removal(wallets=(ClosedAddress("bitcoin", scene.holder, "", wallet.entity_id),)),
            why="the wallet is not the entity's",
            news=NewsPolicy.of(scene.settings),
            now=scene.now(),
        )
    assert scene.alerts()[0].status == "retracted"


def test_a_wallet_added_while_the_fleet_runs_is_seen_from_the_next_block(scene: Scene) -> None:
    scene.tick()
    with scene.database.transaction() as session:
        entity = registry.get_entity(session, "acme")
        session.add(
            Wallet(
                entity_id=entity.id,
                chain="bitcoin",
                address=scene.address(second()),
                key=second(),
                role="treasury",
                tier="user",
                recorded_at=scene.now(),
            )
        )
        registry.bump_watch_set(session, "bitcoin")
    scene.chain.mine(1, to=second())
    scene.tick()
    with scene.database.transaction() as session:
        moves = session.exec(select(Movement).where(Movement.key == second())).all()
    assert [move.amount for move in moves] == [50 * 10**8]


def test_a_watch_set_that_changes_under_a_scan_sends_the_block_round_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version moves between the scan of a block and its transaction: no stale commit."""
    scene.tick()
    real = scene.scan._check
    moved = []

    def move_then_check(*args: object) -> object:
        if not moved:
            moved.append(True)
            with scene.database.transaction() as session:
                entity = registry.get_entity(session, "acme")
                session.add(
                    Wallet(
                        entity_id=entity.id,
                        chain="bitcoin",
                        address=scene.address(second()),
                        key=second(),
                        role="treasury",
                        tier="user",
                        recorded_at=scene.now(),
                    )
                )
                registry.bump_watch_set(session, "bitcoin")
        return real(*args)

    monkeypatch.setattr(scene.scan, "_check", move_then_check)
    scene.chain.mine(1, to=second())
    assert scene.tick().applied == 1
    with scene.database.transaction() as session:
        assert session.exec(select(Movement).where(Movement.key == second())).all()


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


def test_every_coin_of_the_ledger_is_a_coin_of_the_chain(scene: Scene) -> None:
    scene.chain.mine(1, txs=[scene.sell()])
    scene.tick()
    with scene.database.transaction() as session:
        unspent = session.exec(select(Utxo).where(Utxo.spent_hash == None)).all()  # noqa: E711
    assert sum(coin.amount for coin in unspent) == scene.balance()
