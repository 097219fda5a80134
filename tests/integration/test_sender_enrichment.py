"""Senders that the block hides are told afterwards by a real Esplora server, or honestly not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from embit import script
from embit.transaction import Transaction as Tx
from embit.transaction import TransactionInput, TransactionOutput
from sqlmodel import select

from tests.block_servers import BlockServer, esplora, serve
from tests.regtest import MINER, Utxo, key, p2wpkh
from tests.scene import FEE, FIRST, Scene
from tracker.chains.bitcoin.sources import open_pool
from tracker.config import Settings
from tracker.db.chain import Transfer
from tracker.db.registry import Label, LabelPack
from tracker.scanning import senders
from tracker.scanning.senders import SenderEnrichment

COIN = 10**8
# P2PK: an input that spends it shows a signature only.
HIDING = key(5)
HIDDEN = b"\x21" + HIDING.get_public_key().sec() + b"\xac"


@pytest.fixture
def scene(postgres_url: str, tmp_path: Path) -> Iterator[Scene]:
    """The holder's world, in which HIDDEN is an address of the exchange."""
    found = Scene(postgres_url, tmp_path)
    with found.database.transaction() as session:
        pack = session.exec(select(LabelPack)).one()
        session.add(
            Label(
                chain="bitcoin", address=f"script:{HIDDEN.hex()}", key=HIDDEN, name="Bourse",
                category="exchange", tier="attested", pack_id=pack.id, recorded_at=found.now(),
            )
        )
    yield found
    found.database.dispose()


@pytest.fixture
def server(scene: Scene) -> Iterator[BlockServer]:
    with serve(scene.chain, esplora) as running:
        scene.settings = Settings(
            **{**scene.settings.model_dump(), "bitcoin_sources": (f"esplora+{running.url}",)}
        )
        scene.scan = scene.new_scan()
        yield running


def enrichment(scene: Scene) -> SenderEnrichment:
    return SenderEnrichment(scene.database, open_pool(scene.settings))


def hidden_coin(scene: Scene, amount: int = COIN) -> Utxo:
    """A coin of the exchange whose spender stays hidden."""
    paid = scene.chain.spend(
        scene.chain.coinbase(scene.chain.height - 99), [(HIDDEN, amount)], change=p2wpkh(MINER)
    )
    (block,) = scene.chain.mine(1, txs=[paid])
    return next(utxo for utxo in block.utxos if utxo.script == HIDDEN)


def spend_hidden(coin: Utxo, to: bytes, amount: int) -> Tx:
    tx = Tx(2, [TransactionInput(coin.txid, coin.index)],
            [TransactionOutput(amount, script.Script(to))], 0)  # fmt: skip
    digest = tx.sighash_legacy(0, script.Script(HIDDEN))
    signature = HIDING.sign(digest).serialize() + b"\x01"
    tx.vin[0].script_sig = script.Script(bytes([len(signature)]) + signature)
    return tx


def hidden_inflow(scene: Scene, amount: int = COIN) -> Tx:
    """The exchange pays the holder, and the block does not say so."""
    tx = spend_hidden(hidden_coin(scene, amount), scene.holder, amount - FEE)
    scene.chain.mine(1, txs=[tx])
    return tx


def newest(scene: Scene) -> Transfer:
    return scene.transfers()[-1]


def test_a_hidden_sender_is_due_until_the_source_tells_it_and_then_is_named(
    scene: Scene, server: BlockServer
) -> None:
    hidden_inflow(scene)
    scene.scan.tick()
    before = newest(scene)
    assert (before.intent, before.senders) == ("unknown_in", "due")
    assert [party["key"] for party in before.counterparties] == [None]
    assert not [path for path in server.asked if path.startswith("/tx/")]  # not in the scan
    report = enrichment(scene).tick()
    assert (report.told, report.unknown, report.more, report.waiting) == (1, 0, False, None)
    after = newest(scene)
    assert (after.intent, after.senders) == ("purchase", "asked")
    assert after.counterparties == [
        {
            "address": None, "name": "Bourse", "category": "exchange", "tier": "attested",
            "amount": str(COIN), "key": HIDDEN.hex(),
        }
    ]
    assert (after.net, after.gross_in, after.fee) == (before.net, before.gross_in, before.fee)
    assert [item["rule"] for item in after.evidence] == ["venue_source", "strong_label"]
    asked = len(server.asked)
    assert enrichment(scene).tick() == senders.SendersReport()
    assert len(server.asked) == asked  # nothing is due any more


def test_what_the_block_says_itself_is_never_asked_for(scene: Scene, server: BlockServer) -> None:
    scene.chain.mine(1, to=scene.holder)
    scene.chain.mine(1, txs=[scene.sell()])
    coin = next(u for u in scene.chain.tip.utxos if u.script == scene.exchange)
    bought = scene.chain.spend(coin, [(scene.holder, coin.amount - FEE)])
    scene.chain.mine(1, txs=[bought])
    scene.scan.tick()
    assert [(row.height - FIRST, row.senders) for row in scene.transfers()] == [
        (0, None), (1, None), (2, None), (3, None),
    ]  # fmt: skip
    assert newest(scene).counterparties[0]["name"] == "Bourse"


def test_of_mixed_inputs_every_sender_gets_its_name_and_amount(
    scene: Scene, server: BlockServer
) -> None:
    hidden = hidden_coin(scene)
    paid = scene.chain.spend(
        scene.chain.coinbase(scene.chain.height - 99), [(scene.stranger, 3 * COIN)],
        change=p2wpkh(MINER),
    )
    (block,) = scene.chain.mine(1, txs=[paid])
    shown = next(utxo for utxo in block.utxos if utxo.script == scene.stranger)
    tx = scene.chain.spend([shown], [(scene.holder, 4 * COIN - FEE)])
    tx.vin.append(TransactionInput(hidden.txid, hidden.index))
    code = script.p2pkh_from_p2wpkh(script.Script(scene.stranger))
    tx.vin[0].witness = script.Witness([])
    tx.clear_cache()  # the digest of one input only was kept
    private = scene.chain._keys[scene.stranger]
    signed = private.sign(tx.sighash_segwit(0, code, shown.amount))
    signature = HIDING.sign(tx.sighash_legacy(1, script.Script(HIDDEN))).serialize() + b"\x01"
    tx.vin[0].witness = script.witness_p2wpkh(signed, private.get_public_key())
    tx.vin[1].script_sig = script.Script(bytes([len(signature)]) + signature)
    scene.chain.mine(1, txs=[tx])
    scene.scan.tick()
    stored = newest(scene).counterparties
    assert {(party["key"], party["amount"]) for party in stored} == {
        (scene.stranger.hex(), None), (None, None),
    }  # fmt: skip
    assert enrichment(scene).tick().told == 1
    stored = newest(scene).counterparties
    assert {(party["key"], party["amount"], party["name"]) for party in stored} == {
        (scene.stranger.hex(), str(3 * COIN), None), (HIDDEN.hex(), str(COIN), "Bourse"),
    }  # fmt: skip


def test_without_a_source_that_can_tell_nothing_is_touched(scene: Scene) -> None:
    hidden_inflow(scene)
    scene.tick()
    report = enrichment(scene).tick()
    assert report.waiting == senders.NO_SOURCE
    assert newest(scene).senders == "due"


def test_what_no_source_knows_is_unknown_after_some_tries(
    scene: Scene, server: BlockServer
) -> None:
    tx = hidden_inflow(scene)
    scene.scan.tick()
    parent = bytes(tx.vin[0].txid).hex()
    for path in (f"/tx/{parent}/hex", f"/tx/{parent}/raw"):
        server.canned[path] = (404, {}, b"Transaction not found")
    worker = enrichment(scene)
    states = []
    for _ in range(senders.MAX_TRIES):
        worker.tick()
        states.append(newest(scene).senders)
    assert states == ["due", "due", "unknown"]
    assert newest(scene).intent == "unknown_in"
    asked = len(server.asked)
    worker.tick()
    assert len(server.asked) == asked


def test_an_outage_leaves_it_due_and_others_get_their_turn(
    scene: Scene, server: BlockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden_inflow(scene)
    older = scene.chain.height
    hidden_inflow(scene)
    scene.scan.tick()
    path = f"/block/{scene.chain.tip.hash.hex()}/raw"
    server.canned[path] = (404, {}, b"Block not found")
    monkeypatch.setattr(senders, "LATER_TICKS", 2)
    worker = enrichment(scene)
    assert worker.tick().waiting is not None
    assert [row.senders for row in scene.transfers() if row.height >= older] == ["due", "due"]
    assert worker.tick().told == 1
    assert [row.senders for row in scene.transfers() if row.height >= older] == ["asked", "due"]
    del server.canned[path]
    for _ in range(3):
        worker.tick()
    assert newest(scene).senders == "asked"


def test_a_tick_asks_for_a_bounded_number_newest_first(scene: Scene, server: BlockServer) -> None:
    for _ in range(3):
        hidden_inflow(scene)
    scene.scan.tick()
    worker = enrichment(scene)
    report = worker.tick(limit=2)
    assert (report.told, report.more) == (2, True)
    assert [row.senders for row in scene.transfers()][-3:] == ["due", "asked", "asked"]
    report = worker.tick(limit=2)
    assert (report.told, report.more) == (1, False)


def test_a_transfer_that_is_orphaned_is_not_asked_for_and_once_mined_again_is(
    scene: Scene, server: BlockServer
) -> None:
    tx = hidden_inflow(scene)
    scene.scan.tick()
    height = scene.chain.height
    scene.chain.fork(height - 1)
    scene.chain.mine(2)
    scene.scan.tick()
    worker = enrichment(scene)
    assert worker.tick() == senders.SendersReport()
    scene.chain.mine(1, txs=[tx])
    scene.scan.tick()
    assert worker.tick().told == 1
    assert (newest(scene).height, newest(scene).senders) == (scene.chain.height, "asked")


def test_a_transfer_orphaned_while_the_source_answers_is_left_alone(
    scene: Scene, server: BlockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden_inflow(scene)
    scene.scan.tick()
    real = senders.enrich.senders

    def forked_meanwhile(*given: object) -> object:
        told = real(*given)
        scene.chain.fork(scene.chain.height - 1)
        scene.chain.mine(2)
        scene.scan.tick()
        return told

    monkeypatch.setattr(senders.enrich, "senders", forked_meanwhile)
    assert enrichment(scene).tick() == senders.SendersReport()
    with scene.database.transaction() as session:
        rows = session.exec(select(Transfer).where(Transfer.canonical.is_(False))).all()
    assert [(row.senders, row.intent) for row in rows] == [("due", "unknown_in")]
