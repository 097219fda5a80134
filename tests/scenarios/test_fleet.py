"""The main job end to end: a real chain, the real fleet, a real receiver."""

from __future__ import annotations

import csv
import io
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data import shared_data
from tests.fleet import Fleet, Listener
from tests.folders import passable_folder
from tests.regtest import RegtestChain, key
from tests.scene import FEE, FIRST, FUNDS, NETWORK, second
from tracker.chains.bitcoin.address import address_of

MARA = "15MdAHnkxt9TMC2Rj595hsg8Hnv693pPBB"


@pytest.fixture
def folder() -> Iterator[Path]:
    with passable_folder() as made:
        yield made


def _address(locked: bytes) -> str:
    found = address_of(locked, NETWORK)
    assert found is not None
    return found


def _pack(address: str) -> str:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["chain", "address", "name", "category", "tier", "source", "date"])
    rows.writerow(["bitcoin", address, "Bourse", "exchange", "attested", "its own page", ""])
    return text.getvalue()


@pytest.mark.timeout(300)
def test_a_sale_reaches_the_receiver_and_is_taken_back_with_the_same_id(folder: Path) -> None:
    chain = RegtestChain(mature=False)
    holder, exchange = chain.add_key(key(1)), chain.add_key(key(2))
    chain.mine(FIRST - 1)
    chain.mine(1, txs=[chain.spend(chain.coinbase(1), [(holder, FUNDS)], fee=FEE)])
    blocks = folder / "blocks"
    chain.write_folder(blocks)

    def publish() -> None:
        fresh = chain.write_folder(folder / "next")
        old = blocks.rename(folder / "old")
        fresh.rename(blocks)
        shutil.rmtree(old)

    fleet = Fleet(
        folder,
        TRACKER_BITCOIN_NETWORK=NETWORK,
        TRACKER_BITCOIN_SOURCES=f"files:{blocks}",
        # The chain's clock began in 2011: what happens on it is news all the same.
        TRACKER_NEWS_MAX_AGE_HOURS="10000000",
        TRACKER_DETECTED_LATE_MINUTES="600000000",
        TRACKER_BITCOIN_START_HEIGHT=str(FIRST),
    )
    fleet.start()
    listener = None
    try:
        fleet.run("entities", "add", "acme", "--name", "Acme", "--kind", "dat")
        fleet.run("wallets", "add", "acme", "bitcoin", _address(holder), "--tier", "attested")
        pack = folder / "pack.csv"
        pack.write_text(_pack(_address(exchange)))
        fleet.run("labels", "import", str(pack), "--name", "venues")
        # Scanned before the wallet was known, so nothing yet; from here on it is watched.
        fleet.until(lambda: _height(fleet) == FIRST, "the first block")
        paid = next(u for u in chain.at(FIRST).utxos if u.script == holder)
        moved = chain.spend(paid, [(holder, FUNDS - FEE)], fee=FEE)
        chain.mine(1, txs=[moved])
        publish()
        fleet.until(lambda: fleet.get("/v1/entities/acme/transfers")["items"], "the first inflow")

        listener = Listener(fleet)
        fleet.until(lambda: fleet.run("webhooks", "list")["items"], "the receiver's endpoint")
        coin = next(u for u in chain.tip.utxos if u.script == holder)
        sale = chain.spend(coin, [(exchange, 10 * 10**8)], change=holder)
        chain.mine(1, txs=[sale])
        height = chain.height
        publish()
        opened = listener.next()
        assert opened["type"] == "sell_off.opened"
        data = opened["data"]
        assert data["entity"]["slug"] == "acme"
        assert (data["amount"], data["quantity"], data["intent"]) == ("1000000000", "10", "sale")
        assert data["ground"][0]["height"] == height
        assert fleet.get(f"/v1/alerts/{data['alert_id']}")["state"] == data["state"]

        # The same transaction, mined again on a longer branch, opens nothing new.
        chain.fork(height - 1)
        chain.mine(2, to=second(), txs=[sale])
        publish()
        revised = listener.next()
        assert revised["type"] == "sell_off.revised"
        assert revised["data"]["alert_id"] == data["alert_id"]
        assert revised["data"]["supersedes"] == data["event_id"]

        # The head worker is killed; a branch without the transaction is then still followed.
        os.kill(fleet.child("head"), signal.SIGKILL)
        chain.fork(height - 1)
        chain.mine(4, to=second())
        publish()
        retracted = listener.next(60)
        assert retracted["type"] == "sell_off.retracted"
        assert retracted["data"]["alert_id"] == data["alert_id"]
        assert listener.quiet(3)
        feed = fleet.get("/v1/events?after=0&limit=500")["items"]
        assert [item["cursor"] for item in feed] == list(range(1, len(feed) + 1))
        ours = [i["type"] for i in feed if i["data"]["entity"]["slug"] == "acme"]
        assert ours == ["sell_off.opened", "sell_off.revised", "sell_off.retracted"]
    finally:
        if listener is not None:
            listener.stop()
        assert fleet.stop() == 0


def _height(fleet: Fleet) -> int | None:
    chains = fleet.get("/v1/entities/acme/holdings")["chains"]
    height: int | None = next(c["height"] for c in chains if c["chain"] == "bitcoin")
    return height


@pytest.mark.timeout(300)
def test_the_fleet_credits_the_miner_of_a_real_block_and_tells_of_no_old_sale(
    folder: Path,
) -> None:
    blocks = folder / "blocks"
    blocks.mkdir()
    shutil.copy(shared_data() / "bitcoin/blocks/mainnet_866342.raw.gz", blocks)
    fleet = Fleet(folder, TRACKER_BITCOIN_SOURCES=f"files:{blocks}")
    fleet.start()
    try:
        fleet.until(lambda: fleet.get("/v1/entities/mara/transfers")["items"], "the block")
        (transfer,) = fleet.get("/v1/entities/mara/transfers")["items"]
        assert (transfer["net"], transfer["intent"]) == ("317526183", "mining")

        def counted() -> str | None:
            """Null until it is known that a folder cannot tell what was held before."""
            (asset,) = fleet.get("/v1/entities/mara/holdings")["assets"]
            quantity: str | None = asset["onchain"]["quantity"]
            return quantity

        fleet.until(counted, "the opening that no source can tell")
        assert counted() == "3.17526183"
        wallets = fleet.get("/v1/entities/mara/wallets")["items"]
        assert MARA in {wallet["address"] for wallet in wallets}

        alerts = fleet.get("/v1/alerts?limit=500")["items"]
        strategy = [a for a in alerts if a["entity"]["slug"] == "strategy"]
        assert [len(a["revisions"]) for a in strategy] == [4, 1, 1]
        assert [a["quantity"] for a in strategy] == ["6916", "32", "704"]
        assert all(a["historical"] for a in alerts)
        assert fleet.get("/v1/events?after=0")["items"] == []
        named = {a["entity"]["slug"] for a in alerts}
        assert not named & {"sharplink", "trump-media", "zooz", "bitmine"}

        mnav = fleet.get("/v1/entities/strategy/mnav")
        values = {item["id"]: item for item in mnav["definitions"]}
        for name in ("basic", "ev"):
            assert values[name]["value"] is not None
            assert all(i["as_of"] and i["source"] for i in values[name]["inputs"])
    finally:
        assert fleet.stop() == 0
    again = Fleet(folder, TRACKER_BITCOIN_SOURCES=f"files:{blocks}")
    again.start()
    try:
        (after,) = again.get("/v1/entities/mara/transfers")["items"]
        assert after["id"] == transfer["id"]
    finally:
        assert again.stop() == 0
