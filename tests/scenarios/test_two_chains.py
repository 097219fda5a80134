"""A real fleet on a real Ethereum node: a wallet opened, its sale told, its balance true."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.anvil import ETHER, Anvil, run
from tests.fleet import Fleet, Listener
from tests.folders import passable_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with passable_folder() as made:
        yield made


@pytest.fixture
def node() -> Iterator[Anvil]:
    with run() as anvil:
        anvil.place_canonical()
        anvil.mine(3)
        yield anvil


def _pack(address: str) -> str:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["chain", "address", "name", "category", "tier", "source", "date"])
    rows.writerow(["ethereum", address, "Bourse", "exchange", "attested", "its own page", ""])
    return text.getvalue()


@pytest.mark.timeout(300)
def test_a_wallet_added_while_the_fleet_runs_shows_its_true_balance(
    folder: Path, node: Anvil
) -> None:
    treasury, exchange = node.accounts[1], node.accounts[9]
    fleet = Fleet(
        folder,
        TRACKER_BITCOIN_SOURCES="",
        TRACKER_ETHEREUM_RPC_URLS=node.url,
        TRACKER_ETHEREUM_CHAIN_ID=str(node.chain_id),
        TRACKER_ETHEREUM_POLL_SECONDS="1",
        TRACKER_ETHEREUM_CHECKS="trusted",
        TRACKER_BACKFILL_POLL_SECONDS="3600",  # the wallet's own ring has to open it
        # The node's clock began in 2025: what happens on it is news all the same.
        TRACKER_NEWS_MAX_AGE_HOURS="10000000",
        TRACKER_DETECTED_LATE_MINUTES="600000000",
    )
    fleet.start()
    listener = None
    try:
        fleet.until(lambda: _head(fleet) == node.height, "the first block")
        fleet.run("entities", "add", "acme", "--name", "Acme", "--kind", "dat")
        pack = folder / "pack.csv"
        pack.write_text(_pack(exchange))
        fleet.run("labels", "import", str(pack), "--name", "venues")
        fleet.run("wallets", "add", "acme", "ethereum", treasury, "--tier", "attested")
        fleet.until(lambda: _ether(fleet) == node.balance(treasury), "the opening")

        listener = Listener(fleet)
        fleet.until(lambda: fleet.run("webhooks", "list")["items"], "the receiver's endpoint")
        node.send(treasury, exchange, 7 * ETHER)
        opened = listener.next()
        assert (opened["type"], opened["data"]["quantity"]) == ("sell_off.opened", "7")
        assert opened["data"]["corroboration"] == {"agree": 1, "asked": 1}
        assert _ether(fleet) == node.balance(treasury)
        assert {item["kind"] for item in fleet.get("/v1/sources")["items"]} >= {"ethereum_rpc"}
    finally:
        if listener is not None:
            listener.stop()
        assert fleet.stop() == 0


def _head(fleet: Fleet) -> int | None:
    chains = fleet.get("/v1/entities/strategy/holdings")["chains"]
    height: int | None = next(c["height"] for c in chains if c["chain"] == "ethereum")
    return height


def _ether(fleet: Fleet) -> int | None:
    """The ledger's ether of acme in wei; None while it is bootstrapping."""
    assets = fleet.get("/v1/entities/acme/holdings")["assets"]
    found = [item["onchain"] for item in assets if item["asset"] == "ETH"]
    if not found or found[0]["amount"] is None:
        assert not found or found[0]["reason"]
        return None
    return int(found[0]["amount"])
