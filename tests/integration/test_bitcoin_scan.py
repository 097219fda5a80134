"""The scan over a real regtest chain and a real PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from tests.scene import FEE, FUNDS, Scene, second
from tracker.db.chain import Movement, Utxo
from tracker.db.registry import Label, Wallet
from tracker.detection.chain_sales import close_quiet
from tracker.detection.news import NewsPolicy
from tracker.detection.withdraw import withdraw
from tracker.registry import repository as registry
from tracker.registry.replacement import ClosedAddress, Removal
from tracker.scanning import chain_scan


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


def test_every_coin_of_the_ledger_is_a_coin_of_the_chain(scene: Scene) -> None:
    scene.chain.mine(1, txs=[scene.sell()])
    scene.tick()
    with scene.database.transaction() as session:
        unspent = session.exec(select(Utxo).where(Utxo.spent_hash == None)).all()  # noqa: E711
    assert sum(coin.amount for coin in unspent) == scene.balance()


def test_a_sale_together_with_somebody_elses_coin_counts_the_holders_own(scene: Scene) -> None:
    """The two inputs pay 99 BTC to the exchange; a little under half of it is the holder's."""
    other = scene.chain.coinbase(2)
    whole = FUNDS + other.amount - FEE
    paid = scene.chain.spend([scene.coin(), other], [(scene.exchange, whole)], fee=FEE)
    scene.chain.mine(1, txs=[paid])
    scene.tick()
    (alert,) = scene.alerts()
    assert alert.amount == FUNDS
    assert scene.transfers()[-1].fee == 0


def test_an_incident_on_the_chain_closes_in_block_time(scene: Scene) -> None:
    (block,) = scene.chain.mine(1, txs=[scene.sell()])
    scene.tick()
    sold = scene.alerts()[0].opened_at
    news, now = NewsPolicy.of(scene.settings), scene.now()
    for days, closed in ((60, 0), (61, 1), (62, 0)):
        with scene.database.transaction() as session:
            at = sold + timedelta(days=days)
            assert close_quiet(session, "bitcoin", at, news=news, now=now) == closed
    (alert,) = scene.alerts()
    assert (alert.status, alert.closed_at) == ("closed", sold + timedelta(days=60))
    assert scene.event_types() == ["sell_off.opened", "sell_off.closed"]
    # The block of the sale is orphaned all the same: the alert goes, under its id.
    scene.chain.fork(block.height - 1)
    scene.chain.mine(2, to=second())
    scene.tick()
    assert scene.alerts()[0].status == "retracted"


def test_a_label_removed_while_a_block_is_applied_takes_its_alert_back(scene: Scene) -> None:
    """The removal waits for the block in flight, and sees the alert that it opened."""
    scene.tick()
    scene.chain.mine(1, txs=[scene.sell()])
    scene.publish()
    applied, removed = threading.Event(), threading.Event()
    real = chain_scan.apply_block

    def slow(*args: Any, **kwargs: Any) -> bool:
        applied.set()
        removed.wait(1)  # the removal is under way, and cannot end before this block
        return real(*args, **kwargs)

    def remove() -> None:
        applied.wait(20)
        with scene.database.transaction() as session:
            session.exec(select(Label)).one().closed_at = scene.now()
            session.flush()
            removed.set()
            withdraw(
                session,
                Removal(labels=(ClosedAddress("bitcoin", scene.exchange, "", None),)),
                why="the label was removed",
                news=NewsPolicy.of(scene.settings),
                now=scene.now(),
            )

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(chain_scan, "apply_block", slow)
        removal = pool.submit(remove)
        scene.scan.tick()
        removal.result(30)
    assert [alert.status for alert in scene.alerts()] == ["retracted"]
