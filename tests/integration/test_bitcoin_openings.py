"""The seam of a new Bitcoin wallet, and its backfill, over a validated chain and Esplora."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from tests.block_servers import esplora, serve
from tests.regtest import key
from tests.scene import FEE, FIRST, Scene
from tracker.chains.bitcoin.sources import open_pool
from tracker.config import Settings
from tracker.db.chain import Balance, Movement, Utxo
from tracker.db.reconciliation import Discrepancy
from tracker.db.registry import Wallet
from tracker.domain.match import HeldCoin
from tracker.ledger import repository as ledger
from tracker.ledger.opening import Opening, open_wallets
from tracker.reconciliation.bitcoin import BitcoinReconcile
from tracker.registry import repository as registry
from tracker.scanning.bitcoin_backfill import BitcoinBackfill
from tracker.scanning.bitcoin_openings import BitcoinOpenings
from tracker.scanning.jobs import repository as jobs

LATE = key(7)


@pytest.fixture
def scene(postgres_url: str, tmp_path: Path) -> Iterator[Scene]:
    found = Scene(postgres_url, tmp_path)
    with serve(found.chain, esplora) as server:
        found.settings = Settings(
            **{
                **found.settings.model_dump(),
                "bitcoin_sources": (f"esplora+{server.url}",),
            }
        )
        found.scan = found.new_scan()
        yield found
    found.database.dispose()


def openings(scene: Scene) -> BitcoinOpenings:
    return BitcoinOpenings(scene.database, open_pool(scene.settings))


def watch(scene: Scene, script: bytes) -> None:
    with scene.database.transaction() as session:
        entity = registry.get_entity(session, "acme")
        registry.bump_watch_set(session, "bitcoin")
        session.add(
            Wallet(
                entity_id=entity.id,
                chain="bitcoin",
                address=scene.address(script),
                key=script,
                role="treasury",
                tier="attested",
                active_from_height=registry.next_height(session, "bitcoin"),
                recorded_at=scene.now(),
            )
        )


def balance(scene: Scene, script: bytes) -> int:
    with scene.database.transaction() as session:
        return sum(session.exec(select(Balance.amount).where(Balance.key == script)))


def unspent(scene: Scene, script: bytes) -> int:
    with scene.database.transaction() as session:
        return sum(
            session.exec(
                select(Utxo.amount).where(Utxo.key == script, Utxo.spent_hash.is_(None))
            )
        )


def test_a_wallet_added_later_is_opened_and_the_spending_of_older_coins_is_seen(
    scene: Scene,
) -> None:
    late = scene.chain.add_key(LATE)
    paid = scene.chain.spend(scene.coin(), [(late, 10 * 10**8)], change=scene.holder, fee=FEE)
    block = scene.chain.mine(1, txs=[paid])[0]
    scene.scan.tick()
    watch(scene, late)
    assert openings(scene).tick().opened == 2  # the holder's own first coin is opened too
    assert balance(scene, late) == unspent(scene, late) == 10 * 10**8
    coin = next(utxo for utxo in block.utxos if utxo.script == late)
    sold = scene.chain.spend(coin, [(scene.exchange, 4 * 10**8)], change=late, fee=FEE)
    scene.chain.mine(1, txs=[sold])
    scene.scan.tick()
    assert balance(scene, late) == unspent(scene, late) == 6 * 10**8 - FEE
    [alert] = scene.alerts()
    assert (alert.rule, alert.amount) == ("sell_off", 4 * 10**8)


def test_backfill_dates_the_coins_of_an_opening_block_by_block(scene: Scene) -> None:
    late = scene.chain.add_key(LATE)
    paid = scene.chain.spend(scene.coin(), [(late, 10 * 10**8)], change=scene.holder, fee=FEE)
    block = scene.chain.mine(1, txs=[paid])[0]
    coin = next(utxo for utxo in block.utxos if utxo.script == late)
    spent = scene.chain.spend(coin, [(scene.stranger, 4 * 10**8)], change=late, fee=FEE)
    scene.chain.mine(1, txs=[spent])
    scene.chain.mine(1)
    scene.scan.tick()
    watch(scene, late)
    openings(scene).tick()
    scene.chain.mine(100)
    scene.scan.tick()
    with scene.database.transaction() as session:
        wallet = registry.open_at(session, "bitcoin", [late])[late]
        jobs.add(session, chain="bitcoin", wallets=[wallet], from_height=0, now=scene.now())
    worker = BitcoinBackfill(
        scene.database, open_pool(scene.settings), scene.settings, scene.now
    )
    report = worker.slice(30)
    assert report.movements == 3
    with scene.database.transaction() as session:
        moves = session.exec(select(Movement).where(Movement.key == late, Movement.canonical))
        found = sorted((m.height, m.kind, m.amount) for m in moves)
    assert found == [
        (FIRST + 1, "output", 10 * 10**8),
        (FIRST + 2, "input", -10 * 10**8),
        (FIRST + 2, "output", 6 * 10**8 - FEE),
    ]
    assert balance(scene, late) == unspent(scene, late) == 6 * 10**8 - FEE


def test_an_opening_falls_with_its_block(scene: Scene) -> None:
    scene.chain.mine(2)
    scene.scan.tick()
    openings(scene).tick()
    assert balance(scene, scene.holder) == unspent(scene, scene.holder)
    tip = scene.chain.height
    scene.chain.fork(tip - 1)
    scene.chain.mine(2)
    scene.scan.tick()
    with scene.database.transaction() as session:
        assert not registry.open_at(session, "bitcoin", [scene.holder])[
            scene.holder
        ].opening_known
    openings(scene).tick()
    assert balance(scene, scene.holder) == unspent(scene, scene.holder) > 0


def test_a_source_that_lists_no_outputs_leaves_the_wallet_counted_from_its_first_block(
    postgres_url: str, tmp_path: Path
) -> None:
    scene = Scene(postgres_url, tmp_path)
    scene.tick()
    report = openings(scene).tick()
    assert (report.opened, report.refused) == (0, 1)
    with scene.database.transaction() as session:
        wallet = registry.open_at(session, "bitcoin", [scene.holder])[scene.holder]
    assert "no configured source can list" in (wallet.opening_note or "")
    scene.database.dispose()


def test_reconciling_finds_a_balance_that_the_blocks_do_not_give_and_closes_it_again(
    scene: Scene,
) -> None:
    scene.scan.tick()
    openings(scene).tick()
    scene.chain.mine(1, txs=[scene.sell()])
    scene.scan.tick()
    worker = BitcoinReconcile(scene.database, open_pool(scene.settings), scene.now, probe_gap=1)
    assert worker.tick().agreed == 1
    with scene.database.transaction() as session:
        row = session.exec(select(Balance).where(Balance.key == scene.holder)).one()
        row.amount -= 5
    scene.chain.mine(1)
    scene.scan.tick()
    assert worker.tick().residuals == 1
    with scene.database.transaction() as session:
        [found] = session.exec(select(Discrepancy)).all()
        assert (found.state, found.amount) == ("open", 5)
        session.exec(select(Balance).where(Balance.key == scene.holder)).one().amount += 5
    scene.chain.mine(1)
    scene.scan.tick()
    worker.tick()
    with scene.database.transaction() as session:
        assert [each.state for each in session.exec(select(Discrepancy))] == ["closed"]


def test_a_wallet_whose_opening_fell_while_it_was_asked_about_is_not_called_different(
    scene: Scene,
) -> None:
    scene.chain.mine(2)
    scene.scan.tick()
    openings(scene).tick()
    with scene.database.transaction() as session:
        asked = registry.open_at(session, "bitcoin", [scene.holder])[scene.holder]
        session.expunge(asked)
    scene.chain.fork(scene.chain.height - 1)
    scene.chain.mine(2)
    scene.scan.tick()
    worker = BitcoinReconcile(scene.database, open_pool(scene.settings), scene.now, probe_gap=1)
    report = worker.tick([asked])
    assert (report.probed, report.skipped) == (0, None)
    with scene.database.transaction() as session:
        assert session.exec(select(Discrepancy)).all() == []


def test_backfill_leaves_what_a_sweep_told_of_a_transfer_that_was_scanned(scene: Scene) -> None:
    # Blocks from the folder, which has no limit of questions a second.
    sources = (f"files:{scene.blocks}", *scene.settings.bitcoin_sources)
    scene.settings = Settings(**{**scene.settings.model_dump(), "bitcoin_sources": sources})
    scene.scan = scene.new_scan()
    scene.tick()
    openings(scene).tick()
    hop = scene.chain.add_key(key(9))
    (out,) = scene.chain.mine(1, txs=[scene.sell(to=hop)])
    scene.tick()
    moved = next(utxo for utxo in out.utxos if utxo.script == hop)
    sweep = scene.chain.spend(moved, [(scene.exchange, moved.amount - 500)])
    late = scene.chain.add_key(LATE)
    scene.chain.mine(1, txs=[sweep])
    scene.chain.mine(1)
    scene.tick()
    before = [(t.tx, t.intent, t.probability) for t in scene.transfers()]
    assert "sale" in [intent for _, intent, _ in before]
    watch(scene, late)
    openings(scene).tick()
    scene.chain.mine(100)
    scene.tick()
    with scene.database.transaction() as session:
        wallets = registry.open_at(session, "bitcoin", [late, scene.holder])
        jobs.add(
            session, chain="bitcoin", wallets=wallets.values(), from_height=0, now=scene.now()
        )
    worker = BitcoinBackfill(
        scene.database, open_pool(scene.settings), scene.settings, scene.now
    )
    while worker.slice(30).more:
        pass
    with scene.database.transaction() as session:
        assert registry.open_at(session, "bitcoin", [late])[late].history_from == 0
    found = [(t.tx, t.intent, t.probability) for t in scene.transfers()]
    assert [each for each in found if each in before] == before


def test_a_script_of_more_coins_than_a_statement_has_parameters_is_opened(scene: Scene) -> None:
    scene.scan.tick()
    with scene.database.transaction() as session:
        block = ledger.recent_blocks(session, "bitcoin", 1)[0]
        coins = tuple(
            HeldCoin(bytes(32) + number.to_bytes(4, "little"), 1, FIRST) for number in range(70_000)
        )
        held = Opening(1, 1, 1, scene.holder, {("BTC", "liquid"): 70_000}, coins)
        open_wallets(session, "bitcoin", block, [held])
    assert balance(scene, scene.holder) == unspent(scene, scene.holder) == 70_000
