"""What users read of a real ledger: an Ethereum node, a Bitcoin chain, probes and their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.account_scene import ETHER, AccountScene, key_of
from tests.anvil import Anvil, run
from tests.api_service import Api, running_api, services_for
from tests.rpc_lies import TRACES, Lies
from tests.scene import FIRST, FUNDS, Scene
from tests.withdrawals import RpcProxy, proxying
from tracker.chains.ethereum.address import checksummed
from tracker.cli import main
from tracker.reconciliation.asked.answering import answer_requests
from tracker.reconciliation.ethereum import EthereumReconcile
from tracker.registry import repository as registry

FINALITY = 72  # anvil's `finalized` lags its tip by 64 blocks


@dataclass
class World:
    """A scanned chain with the API over it."""

    scene: AccountScene
    api: Api

    def cli(self, *words: str) -> str:
        environment = {
            "TRACKER_API_URL": self.api.url,
            "TRACKER_DATA_DIR": str(self.api.services.settings.data_dir),
            "COLUMNS": "100",
        }
        result = CliRunner().invoke(main.app, [*words], env=environment)
        assert result.exit_code == 0, (words, result.output, result.exception)
        return result.stdout

    def assets(self, **params: Any) -> dict[str, Any]:
        found = self.api.get("/v1/entities/acme/holdings", params=params)
        return {item["asset"]: item for item in found["assets"]}

    def worker(self) -> int:
        """The reconcile worker, once."""
        ticks = {
            "ethereum": EthereumReconcile(
                self.scene.database, self.scene.pool, self.scene.now, self.scene.assets
            ).tick
        }
        return answer_requests(self.scene.database, ticks, self.scene.now)


@pytest.fixture
def node() -> Iterator[Anvil]:
    with run() as anvil:
        anvil.place_canonical()
        yield anvil


@pytest.fixture
def proxy(node: Anvil) -> Iterator[RpcProxy]:
    with proxying(node, lies=Lies(hidden=TRACES)) as found:
        yield found


@pytest.fixture
def world(postgres_url: str, tmp_path: Path, node: Anvil, proxy: RpcProxy) -> Iterator[World]:
    scene = AccountScene(postgres_url, node, rpc_urls=[proxy.url])
    services = services_for(
        postgres_url, tmp_path, clock=scene.now, ethereum_chain_id=node.chain_id,
        bitcoin_sources=(),
    )
    scene.tick()
    with running_api(services) as api:
        yield World(scene, api)
    scene.database.dispose()


def test_a_wallet_is_bootstrapping_until_its_opening_and_then_shows_what_the_node_says(
    world: World,
) -> None:
    scene = world.scene
    before = world.assets()["ETH"]["onchain"]
    assert (before["quantity"], before["state"]) == (None, "bootstrapping")
    items = world.api.get("/v1/entities/acme/wallets")["items"]
    assert {(item["state"], item["balances"]) for item in items} == {("bootstrapping", None)}
    page = world.api.request("GET", "/entities/acme").text
    assert "bootstrapping" in page

    scene.open()
    expected = scene.node.balance(scene.treasury) + scene.node.balance(scene.second)
    after = world.assets()["ETH"]["onchain"]
    assert (after["amount"], after["state"], after["reason"]) == (str(expected), "open", None)
    assert after["as_of_block"]["height"] == scene.node.height
    by_address = {
        item["address"]: item for item in world.api.get("/v1/entities/acme/wallets")["items"]
    }
    treasury = by_address[checksummed(key_of(scene.treasury))]
    assert treasury["state"] == "open"
    assert treasury["opening"]["height"] == scene.node.height
    assert treasury["balances"][0]["amount"] == str(scene.node.balance(scene.treasury))
    assert treasury["last_probe"] is None

    scene.watch(scene.stranger)  # a third wallet, not opened yet
    part = world.assets()["ETH"]["onchain"]
    assert part["quantity"] is None
    assert part["reason"].startswith("1 of 3 wallets is still bootstrapping")
    assert (part["partial"]["amount"], part["partial"]["wallets"]) == (str(expected), 2)


def test_every_height_shows_what_the_node_says_of_it(world: World) -> None:
    scene = world.scene
    scene.open()
    first = scene.node.height
    for amount in (1, 2, 3):
        scene.node.send(scene.treasury, scene.exchange, amount * ETHER)
    scene.tick()
    for height in range(first, scene.node.height + 1):
        expected = sum(
            scene.node.balance(person, height) for person in (scene.treasury, scene.second)
        )
        onchain = world.assets(at=f"ethereum:{height}")["ETH"]["onchain"]
        assert onchain["amount"] == str(expected), height
        assert onchain["as_of_block"]["height"] == height
        assert world.assets(at=str(height), chain="ethereum")["ETH"]["onchain"] == onchain
    early = world.api.request("GET", f"/v1/entities/acme/holdings?at=ethereum:{first + 999}")
    assert (early.status_code, early.json()["field"]) == (422, "at")
    assert "give a height from" in early.json()["mend"]

    changes = world.api.get("/v1/entities/acme/changes")
    causes = {item["cause"] for item in changes["items"]}
    assert causes == {"attribution", "movement"}
    (total,) = changes["totals"]
    assert total["end"] == world.assets()["ETH"]["onchain"]["amount"]
    (out, *_) = world.api.get("/v1/entities/acme/transfers")["items"]
    assert out["tx"].startswith("0x")
    assert out["explorer_url"] is None  # a private chain has no public page


def test_a_request_to_reconcile_is_answered_and_what_differed_is_listed(world: World) -> None:
    scene = world.scene
    scene.open()
    mover = scene.node.deploy("Mover")
    mover.send("forward", scene.treasury, value=ETHER, sender=scene.stranger)
    scene.node.mine(FINALITY)
    scene.tick()
    assert world.api.get("/v1/reconcile", params={"entity": "acme"})["state"] == "none"
    asked = world.api.write("POST", "/v1/reconcile", json={"entity": "acme"})
    assert (asked.status_code, asked.json()["state"]) == (202, "asked")
    assert world.worker() == 1
    assert world.worker() == 0
    done = world.api.get("/v1/reconcile", params={"entity": "acme"})
    assert done["state"] == "answered"
    answer = done["answer"]["ethereum"]
    assert (answer["wallets"], answer["probed"] - answer["agreed"]) == (2, 1)

    (item,) = world.api.get("/v1/discrepancies")["items"]
    assert (item["entity"], item["asset"], item["amount"]) == ("acme", "ETH", str(ETHER))
    assert (item["state"], item["explanation"]) == ("explained", "internal")
    assert int(item["observed"]) - int(item["expected"]) == ETHER
    assert item["address"] == checksummed(key_of(scene.treasury))
    assert world.api.get("/v1/discrepancies", params={"state": "open"})["items"] == []
    assert world.api.get("/v1/discrepancies", params={"entity": "rival"})["items"] == []
    wallets = world.api.get("/v1/entities/acme/wallets")["items"]
    agreed = {item["address"]: item["last_probe"]["agreed"] for item in wallets}
    assert agreed[checksummed(key_of(scene.treasury))] is False
    assert agreed[checksummed(key_of(scene.second))] is True

    assert "internal" in json.dumps(json.loads(world.cli("discrepancies", "--json")))
    shown = world.cli("discrepancies", "acme")
    assert "explained" in shown
    held = world.cli("holdings", "acme", "--wallets")
    assert "differed at" in held
    assert "agreed at" in held
    assert "attribution" in world.cli("changes", "acme")
    assert "ETH" in world.cli("holdings", "acme", "--history", "--asset", "ETH")
    assert "final up to" in world.cli("holdings", "acme", "--at", f"ethereum:{scene.node.height}")


def test_a_request_that_nobody_answers_in_time_is_told_with_its_mend(world: World) -> None:
    environment = {
        "TRACKER_API_URL": world.api.url,
        "TRACKER_DATA_DIR": str(world.api.services.settings.data_dir),
    }
    result = CliRunner().invoke(main.app, ["reconcile", "acme", "--wait", "1"], env=environment)
    assert "not answered in time" in str(result.exception)
    assert world.worker() == 1  # it is answered still


def test_a_wallet_that_is_removed_takes_its_balance_away_on_that_day(world: World) -> None:
    scene = world.scene
    scene.open()
    whole = int(world.assets()["ETH"]["onchain"]["amount"])
    gone = scene.node.balance(scene.second)
    moment = scene.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    scene.node.mine(1)
    with scene.database.transaction() as session:
        wallet = scene.wallet(scene.second)
        at = datetime.fromisoformat(moment)
        registry.close_wallets(session, [wallet.id or 0], at)
    assert int(world.assets()["ETH"]["onchain"]["amount"]) == whole - gone
    changes = world.api.get("/v1/entities/acme/changes")
    assert sum(int(item["amount"]) for item in changes["items"]) == whole - gone
    opened = scene.wallet(scene.treasury).opening_time
    assert opened is not None
    then = opened.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert int(world.assets(at=then)["ETH"]["onchain"]["amount"]) == whole
    kept = world.assets(at=then, closed="false")["ETH"]["onchain"]["amount"]
    assert int(kept) == whole - gone


def test_a_wallet_whose_opening_no_source_tells_is_counted_from_its_first_block(
    postgres_url: str, tmp_path: Path
) -> None:
    scene = Scene(postgres_url, tmp_path / "chain")
    scene.tick()
    with scene.database.transaction() as session:
        (wallet,) = registry.unopened(session, "bitcoin", 5)
        registry.note_openings(session, {wallet.id or 0: "no source lists its outputs"})
    services = services_for(postgres_url, tmp_path, clock=scene.now, bitcoin_network="regtest")
    with running_api(services) as api:
        (item,) = api.get("/v1/entities/acme/wallets")["items"]
        assert (item["state"], item["reason"]) == ("counted_from", "no source lists its outputs")
        assert item["balances"][0]["amount"] == str(FUNDS)
        found = {a["asset"]: a for a in api.get("/v1/entities/acme/holdings")["assets"]}
        onchain = found["BTC"]["onchain"]
        assert (onchain["amount"], onchain["state"]) == (str(FUNDS), "counted_from")
        assert (onchain["opening_known"], "not known" in onchain["reason"]) == (False, True)
        at_height = api.get(f"/v1/entities/acme/holdings?at=bitcoin:{FIRST}")["assets"]
        assert at_height[0]["onchain"]["amount"] == str(FUNDS)
        history = api.get("/v1/entities/acme/holdings/history")
        assert (history["asset"], history["items"][-1]["amount"]) == ("BTC", str(FUNDS))
        assert "counted from their first block" in history["reason"]
    scene.database.dispose()
