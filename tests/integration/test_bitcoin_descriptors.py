"""Descriptors as wallets: the gap grows with use, live and at openings, and loses no coin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from embit.bip32 import HDKey
from embit.networks import NETWORKS
from sqlmodel import select

from tests.block_servers import BlockServer, esplora, serve
from tests.regtest import Utxo
from tests.scene import FEE, Scene
from tracker.chains.bitcoin.sources import open_pool
from tracker.config import Settings
from tracker.db.chain import Balance
from tracker.db.chain import Utxo as CoinRow
from tracker.db.registry import Descriptor, Wallet, WatchSet
from tracker.errors import ConflictError, InputError, NotFoundError
from tracker.registry import descriptors, entities, wallets
from tracker.registry import repository as registry
from tracker.registry.descriptors import Listed
from tracker.scanning import chain_scan
from tracker.scanning.bitcoin_openings import BitcoinOpenings

ROOT = HDKey.from_seed(b"\x07" * 64).derive("m/84h/1h/0h")
XPUB = str(ROOT.to_public(NETWORKS["regtest"]["xpub"]).to_base58())
TEXT = f"wpkh({XPUB}/<0;1>/*)"
COIN = 10**8


@pytest.fixture
def scene(postgres_url: str, tmp_path: Path) -> Iterator[Scene]:
    found = Scene(postgres_url, tmp_path)
    yield found
    found.database.dispose()


@pytest.fixture
def served(scene: Scene) -> Iterator[BlockServer]:
    """The scene with an Esplora server as its source."""
    with serve(scene.chain, esplora) as server:
        scene.settings = Settings(
            **{**scene.settings.model_dump(), "bitcoin_sources": (f"esplora+{server.url}",)}
        )
        scene.scan = scene.new_scan()
        yield server


def script(scene: Scene, index: int, branch: int = 0) -> bytes:
    """The address at a place, which the chain can sign for from now on."""
    return scene.chain.add_key(ROOT.derive([branch, index]).key)


def add(scene: Scene, text: str = TEXT, **more: object) -> Listed:
    with scene.database.transaction() as session:
        return descriptors.add(
            session, entity="acme", text=text, now=scene.now(), network="regtest", **more
        )


def pay(scene: Scene, *outputs: tuple[bytes, int], coin: Utxo | None = None) -> list[Utxo]:
    """One block with one payment out of the newest spendable reward; what it paid, in order."""
    coin = coin or scene.chain.coinbase(scene.chain.height - 99)
    paid = scene.chain.spend(coin, outputs, change=scene.stranger, fee=FEE)
    (block,) = scene.chain.mine(1, txs=[paid])
    by_place = {utxo.index: utxo for utxo in block.utxos if utxo.txid == paid.txid()}
    return [by_place[number] for number in range(len(outputs))]


def places(scene: Scene) -> dict[int, int]:
    """How many addresses of each branch are watched; they have no hole."""
    found: dict[int, set[int]] = {}
    with scene.database.transaction() as session:
        for row in session.exec(select(Wallet).where(Wallet.closed_at.is_(None))):
            if row.descriptor_id is not None:
                found.setdefault(row.branch, set()).add(row.child_index)
    assert all(indexes == set(range(len(indexes))) for indexes in found.values())
    return {branch: len(indexes) for branch, indexes in found.items()}


def held(scene: Scene) -> tuple[int, int]:
    """What the ledger counts on the descriptor's addresses, as balances and as coins."""
    with scene.database.transaction() as session:
        keys = list(session.exec(select(Wallet.key).where(Wallet.descriptor_id.is_not(None))))
        balance = sum(session.exec(select(Balance.amount).where(Balance.key.in_(keys))))
        coins = sum(
            session.exec(
                select(CoinRow.amount).where(
                    CoinRow.key.in_(keys), CoinRow.spent_hash.is_(None)
                )
            )
        )
    return balance, coins


def openings(scene: Scene) -> BitcoinOpenings:
    return BitcoinOpenings(scene.database, open_pool(scene.settings), scene.now)


def open_all(scene: Scene) -> None:
    worker = openings(scene)
    for _ in range(20):
        report = worker.tick()
        assert report.waiting is None
        if not report.more:
            return
    raise AssertionError("the openings do not come to an end")


def test_each_use_moves_the_watched_window_and_no_payment_is_missed(scene: Scene) -> None:
    scene.tick()
    added = add(scene)
    assert (added.counts.wallets, added.shown) == (40, f"wpkh({XPUB[:8]}…{XPUB[-4:]}/<0;1>/*)")
    sums = 0
    for index, watched in ((0, 21), (19, 40), (38, 59), (57, 78), (40, 78)):
        pay(scene, (script(scene, index), COIN + index))
        sums += COIN + index
        scene.tick()
        assert places(scene) == {0: watched, 1: 20}
        assert held(scene) == (sums, sums)


def test_change_outputs_and_spending_from_derived_addresses_net_out(scene: Scene) -> None:
    scene.tick()
    add(scene)
    (coin,) = pay(scene, (script(scene, 19), 10 * COIN))
    scene.tick()
    pay_out = scene.chain.spend(
        coin, [(scene.exchange, 3 * COIN)], change=script(scene, 19, 1), fee=FEE
    )
    (block,) = scene.chain.mine(1, txs=[pay_out])
    scene.tick()
    assert places(scene) == {0: 40, 1: 40}
    assert held(scene) == (7 * COIN - FEE, 7 * COIN - FEE)
    (sale,) = [row for row in scene.transfers() if row.height == block.height]
    assert (sale.gross_out, sale.gross_in, sale.net) == (
        10 * COIN, 7 * COIN - FEE, -3 * COIN - FEE,
    )  # fmt: skip
    change = next(u for u in block.utxos if u.script == script(scene, 19, 1))
    onward = scene.chain.spend(change, [(script(scene, 39), 7 * COIN - 2 * FEE)], fee=FEE)
    scene.chain.mine(1, txs=[onward])
    scene.tick()
    assert held(scene) == (7 * COIN - 2 * FEE, 7 * COIN - 2 * FEE)
    assert scene.transfers()[-1].intent == "internal"


def test_the_block_after_a_use_is_matched_with_the_wider_window_without_reading_it_anew(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.tick()
    add(scene)
    scene.tick()
    pay(scene, (script(scene, 19), COIN))
    pay(scene, (script(scene, 38), COIN))
    pay(scene, (script(scene, 57), COIN))
    loads = []
    real = chain_scan.load_watch
    monkeypatch.setattr(
        chain_scan, "load_watch", lambda *given: loads.append(given) or real(*given)
    )
    assert scene.tick().applied == 3
    assert len(loads) == 1
    assert held(scene) == (3 * COIN, 3 * COIN)
    with scene.database.transaction() as session:
        version = session.exec(select(WatchSet.version)).one()
        again = real(session, "bitcoin", scene.chain.height, scene.chain.tip.hash)
    kept = scene.scan._watch
    assert kept is not None
    assert (kept.version, kept.scripts) == (version, again.scripts)


def test_the_window_is_widened_with_the_block_or_not_at_all(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.tick()
    add(scene)
    pay(scene, (script(scene, 5), COIN))
    monkeypatch.setattr(
        chain_scan.chain_sales, "judge", Mock(side_effect=RuntimeError("crash"))
    )
    with pytest.raises(RuntimeError, match="crash"):
        scene.tick()
    assert places(scene) == {0: 20, 1: 20}
    assert held(scene) == (0, 0)
    monkeypatch.undo()
    scene.tick()
    assert places(scene) == {0: 26, 1: 20}
    assert held(scene) == (COIN, COIN)


def test_a_fork_that_takes_the_use_back_leaves_the_window_and_nothing_else(scene: Scene) -> None:
    scene.tick()
    add(scene)
    below = scene.chain.height
    pay(scene, (script(scene, 19), COIN))
    pay(scene, (script(scene, 38), COIN))
    scene.tick()
    assert held(scene) == (2 * COIN, 2 * COIN)
    scene.chain.fork(below)
    scene.chain.mine(1)
    pay(scene, (script(scene, 38), 2 * COIN), coin=scene.chain.coinbase(3))
    scene.chain.mine(1)
    scene.tick()
    assert places(scene) == {0: 59, 1: 20}
    assert held(scene) == (2 * COIN, 2 * COIN)
    with scene.database.transaction() as session:
        rows = session.exec(select(Balance.key).where(Balance.amount != 0)).all()
    assert set(rows) == {scene.holder, script(scene, 38)}


def test_openings_find_coins_window_by_window_until_a_gap_is_empty(
    scene: Scene, served: BlockServer
) -> None:
    for index in (3, 22, 41):
        pay(scene, (script(scene, index), COIN))
    pay(scene, (script(scene, 12, 1), COIN))
    scene.chain.mine(1)
    scene.scan.tick()
    add(scene)
    open_all(scene)
    assert places(scene) == {0: 62, 1: 33}
    assert held(scene) == (4 * COIN, 4 * COIN)
    with scene.database.transaction() as session:
        assert not registry.unopened(session, "bitcoin", 10)


def test_addresses_that_were_emptied_long_ago_count_as_used(
    scene: Scene, served: BlockServer
) -> None:
    (coin,) = pay(scene, (script(scene, 15), 2 * COIN))
    scene.chain.mine(1, txs=[scene.chain.spend(coin, [(script(scene, 30), 2 * COIN - FEE)])])
    scene.scan.tick()
    add(scene)
    open_all(scene)
    assert places(scene) == {0: 51, 1: 20}
    assert held(scene) == (2 * COIN - FEE, 2 * COIN - FEE)


def test_coins_paid_beyond_the_window_in_the_very_block_of_a_use_are_found_by_their_opening(
    scene: Scene, served: BlockServer
) -> None:
    scene.scan.tick()
    add(scene)
    open_all(scene)
    pay(scene, (script(scene, 19), COIN), (script(scene, 25), COIN))
    scene.scan.tick()
    assert places(scene) == {0: 40, 1: 20}
    assert held(scene) == (COIN, COIN)
    open_all(scene)
    assert places(scene) == {0: 46, 1: 20}
    assert held(scene) == (2 * COIN, 2 * COIN)


def test_a_wallet_known_before_joins_and_its_use_far_up_widens_at_once(scene: Scene) -> None:
    with scene.database.transaction() as session:
        wallets.add(
            session, entity="acme", chain="bitcoin", address=scene.address(script(scene, 18)),
            now=scene.now(), network="regtest",
        )
    pay(scene, (script(scene, 18), COIN))
    scene.tick()
    added = add(scene)
    assert added.counts.wallets == 39 + 20
    assert places(scene) == {0: 39, 1: 20}
    with scene.database.transaction() as session:
        gone = descriptors.remove(session, added.row.id, scene.now())
        assert len(gone.wallets) == 58
        mine = session.exec(
            select(Wallet.address).join(Descriptor, isouter=True).where(
                Wallet.closed_at.is_(None)
            )
        ).all()
        assert set(mine) == {scene.address(scene.holder), scene.address(script(scene, 18))}
        assert descriptors.list_all(session, network="regtest") == []
        with pytest.raises(NotFoundError):
            descriptors.remove(session, added.row.id, scene.now())
    pay(scene, (script(scene, 1), COIN))
    scene.tick()
    assert held(scene) == (0, 0)


def test_the_same_scripts_are_refused_however_they_are_written(scene: Scene) -> None:
    add(scene)
    for again in (TEXT, f"wpkh([deadbeef/84h/1h/0h]{XPUB}/<0;1>/*)"):
        with pytest.raises(ConflictError) as told:
            add(scene, again)
        assert XPUB not in str(told.value)
    with pytest.raises(ConflictError, match="address of it is a wallet of acme, part of descr"):
        add(scene, f"wpkh({XPUB}/0/*)")


def test_a_descriptor_without_a_change_branch_is_taken_with_a_warning(scene: Scene) -> None:
    added = add(scene, f"wpkh({XPUB}/0/*)", gap_limit=3)
    assert added.counts.wallets == 3
    assert any("no change branch" in each for each in added.warnings)
    single = add(scene, f"wpkh({XPUB}/7/7)")
    assert (single.counts.wallets, single.warnings) == (1, ())


@pytest.mark.parametrize("limit", [0, -1, 1_001])
def test_a_gap_limit_out_of_bounds_is_refused(scene: Scene, limit: int) -> None:
    with pytest.raises(InputError, match="gap limit"):
        add(scene, gap_limit=limit)


def test_a_venue_has_no_descriptor_and_nothing_is_half_written(scene: Scene) -> None:
    with pytest.raises(InputError, match="venue"), scene.database.transaction() as session:
        descriptors.add(
            session, entity="bourse", text=TEXT, now=scene.now(), network="regtest"
        )
    with scene.database.transaction() as session:
        assert session.exec(select(Descriptor)).all() == []


def test_an_address_of_another_holder_is_left_to_it(scene: Scene) -> None:
    with scene.database.transaction() as session:
        entities.add(session, slug="other", name="Other", kind="dat", now=scene.now())
        wallets.add(
            session, entity="other", chain="bitcoin", address=scene.address(script(scene, 22)),
            now=scene.now(), network="regtest",
        )
    scene.tick()
    add(scene)
    for index in (5, 6):
        pay(scene, (script(scene, index), COIN))
        scene.tick()
    with scene.database.transaction() as session:
        theirs = registry.open_at(session, "bitcoin", [script(scene, 22)])
        assert theirs[script(scene, 22)].descriptor_id is None
        before = session.exec(select(WatchSet.version)).one()
        assert descriptors.extend_moved(session, network="regtest", now=scene.now()) is None
        assert session.exec(select(WatchSet.version)).one() == before


def test_a_descriptor_that_begins_on_an_address_of_another_holder_is_refused(scene: Scene) -> None:
    with scene.database.transaction() as session:
        entities.add(session, slug="other", name="Other", kind="dat", now=scene.now())
        wallets.add(
            session, entity="other", chain="bitcoin", address=scene.address(script(scene, 2)),
            now=scene.now(), network="regtest",
        )
    with pytest.raises(ConflictError, match="wallet of other") as told:
        add(scene)
    assert told.value.value == "branch 0, index 2"
    assert places(scene) == {}


def test_a_derived_wallet_that_was_removed_stays_removed(scene: Scene) -> None:
    scene.tick()
    add(scene)
    with scene.database.transaction() as session:
        wallets.remove(
            session, chain="bitcoin", address=scene.address(script(scene, 7)), now=scene.now(),
            network="regtest",
        )
    pay(scene, (script(scene, 3), COIN))
    scene.tick()
    with scene.database.transaction() as session:
        assert registry.open_at(session, "bitcoin", [script(scene, 7)]) == {}
        assert registry.open_at(session, "bitcoin", [script(scene, 23)])


def test_switching_the_holder_off_and_on_keeps_the_descriptor_at_work(scene: Scene) -> None:
    scene.tick()
    add(scene)
    for enabled in (False, True):
        with scene.database.transaction() as session:
            entities.set_enabled(session, "acme", enabled=enabled, now=scene.now())
    pay(scene, (script(scene, 19), COIN))
    scene.tick()
    assert places(scene) == {0: 40, 1: 20}


def test_no_key_and_no_address_of_a_descriptor_is_logged(
    scene: Scene, served: BlockServer, capfd: pytest.CaptureFixture[str]
) -> None:
    pay(scene, (script(scene, 3), COIN))
    scene.scan.tick()
    add(scene)
    open_all(scene)
    pay(scene, (script(scene, 22), COIN))
    scene.scan.tick()
    told = "".join(capfd.readouterr())
    assert "descriptor_added" in told
    assert XPUB[8:40] not in told
    for index in range(23):
        assert scene.address(script(scene, index)) not in told
        assert script(scene, index).hex() not in told
