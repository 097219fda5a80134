"""Descriptors and backfill as users ask for them: over the API, and by the command line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.api_service import Api, running_api
from tests.block_servers import esplora, serve
from tests.integration.test_bitcoin_descriptors import ROOT, TEXT, XPUB
from tests.regtest import GENESIS_TIME, key
from tests.scene import FEE, FIRST, Scene
from tracker.bootstrap import Services
from tracker.chains.bitcoin.sources import open_pool
from tracker.cli import bootstrapping, main
from tracker.config import Settings
from tracker.db.reconciliation import BackfillJob
from tracker.errors import TrackerError
from tracker.operations.keys import ensure_admin_key
from tracker.scanning.bitcoin_backfill import BitcoinBackfill
from tracker.scanning.bitcoin_openings import BitcoinOpenings

COIN = 10**8


class Bells:
    """A doorbell that remembers who was rung."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def ring(self, queue: str) -> None:
        self.rung.append(queue)


class World:
    """The holder's chain behind an Esplora server, the API over its database, the command line."""

    def __init__(self, scene: Scene, api: Api, bells: Bells) -> None:
        self.scene, self.api, self.bells = scene, api, bells

    def openings(self) -> None:
        worker = BitcoinOpenings(
            self.scene.database, open_pool(self.scene.settings), self.scene.now
        )
        while worker.tick().more:
            pass

    def backfill(self) -> None:
        worker = BitcoinBackfill(
            self.scene.database, open_pool(self.scene.settings), self.scene.settings,
            self.scene.now,
        )
        while worker.slice(30).more:
            pass

    def run(self, *words: str, given: str | None = None) -> Any:
        settings = self.api.services.settings
        environment = {
            "TRACKER_API_URL": self.api.url,
            "TRACKER_DATA_DIR": str(settings.data_dir),
            "COLUMNS": "80",
        }
        return CliRunner().invoke(main.app, list(words), env=environment, input=given)

    def text(self, *words: str, given: str | None = None) -> str:
        result = self.run(*words, given=given)
        assert result.exit_code == 0, (words, result.output, result.exception)
        # What the workers of the same process log goes there too; a service's does not.
        lines = [line for line in result.stdout.splitlines() if "[info " not in line]
        assert all(len(line) <= 80 for line in lines), result.stdout
        return "\n".join(lines)

    def error(self, *words: str) -> TrackerError:
        result = self.run(*words)
        assert isinstance(result.exception, TrackerError), (words, result.output)
        return result.exception


@pytest.fixture
def world(postgres_url: str, tmp_path: Path) -> Iterator[World]:
    scene = Scene(postgres_url, tmp_path)
    bells = Bells()
    with serve(scene.chain, esplora) as server:
        scene.settings = Settings(
            **{
                **scene.settings.model_dump(),
                # Blocks from the folder, which has no limit of questions a second.
                "bitcoin_sources": (f"files:{scene.blocks}", f"esplora+{server.url}"),
                "live_quotes": False,
            }
        )
        scene.scan = scene.new_scan()
        scene.tick()
        services = Services(scene.settings, scene.database, bells, scene.now)
        with scene.database.transaction() as session:
            ensure_admin_key(scene.settings, session, scene.now())
        with running_api(services) as api:
            yield World(scene, api, bells)


def add(world: World, **more: Any) -> Any:
    body = {"entity": "acme", "descriptor": TEXT, **more}
    return world.api.write("POST", "/v1/descriptors", json=body)


# -- descriptors -----------------------------------------------------------------------------------


def test_a_descriptor_is_added_opened_shown_short_and_removed(world: World) -> None:
    made = add(world)
    assert made.status_code == 201, made.text
    item = made.json()
    assert (item["state"], item["wallets"], item["opened"]) == ("bootstrapping", 40, 0)
    assert world.bells.rung == ["backfill"]
    world.openings()
    (item,) = world.api.get("/v1/descriptors")["items"]
    assert (item["state"], item["opened"], item["refused"]) == ("open", 40, 0)
    assert item["shown"] == f"wpkh({XPUB[:8]}…{XPUB[-4:]}/<0;1>/*)"
    listed = world.api.request("GET", "/v1/entities/acme/wallets?limit=500")
    derived = [each for each in listed.json()["items"] if each["descriptor_id"] == item["id"]]
    assert {(each["branch"], each["child_index"]) for each in derived} == {
        (branch, index) for branch in (0, 1) for index in range(20)
    }
    for reply in (made, listed, world.api.request("GET", "/v1/descriptors")):
        assert XPUB[8:-4] not in reply.text
    gone = world.api.write("DELETE", f"/v1/descriptors/{item['id']}")
    assert gone.json() == {"id": item["id"], "wallets": 40, "alerts_changed": 0}
    assert world.api.get("/v1/descriptors")["items"] == []
    assert world.api.write("DELETE", f"/v1/descriptors/{item['id']}").status_code == 404


def test_what_is_wrong_is_named_with_the_mend_and_without_the_key(world: World) -> None:
    for body, status, field in (
        ({"descriptor": TEXT[:-3]}, 422, "descriptor"),
        ({"descriptor": f"wpkh({ROOT.to_base58()}/<0;1>/*)"}, 422, "descriptor"),
        ({"descriptor": XPUB * 200}, 422, "descriptor"),
        ({"descriptor": 7}, 422, "descriptor"),
        ({"gap_limit": 0}, 422, "gap_limit"),
        ({"entity": "nobody"}, 404, "entity"),
        ({"entity": "bourse"}, 422, "entity"),
        ({"tier": "certain"}, 422, "tier"),
        ({"role": "piggy"}, 422, "role"),
    ):
        reply = add(world, **body)
        assert (reply.status_code, reply.json()["field"]) == (status, field), reply.text
        assert reply.json()["mend"]
        for secret in (XPUB[8:-4], str(ROOT.to_base58())[8:-4]):
            assert secret not in reply.text
    assert world.api.get("/v1/descriptors")["items"] == []
    assert world.bells.rung == []


def test_a_write_needs_a_key(world: World) -> None:
    for method, path in (
        ("POST", "/v1/descriptors"), ("DELETE", "/v1/descriptors/1"), ("POST", "/v1/backfill"),
        ("DELETE", "/v1/backfill/1"),
    ):
        assert world.api.request(method, path, json={}).status_code == 401


def test_the_command_line_reads_it_from_a_file_or_standard_input(
    world: World, tmp_path: Path
) -> None:
    kept = tmp_path / "treasury.txt"
    kept.write_text(TEXT + "\n")
    shown = world.text("wallets", "add", "--entity", "acme", "--descriptor", f"@{kept}")
    assert "bootstrapping" in shown
    assert XPUB[8:-4] not in shown.replace("\n", "")
    again = world.error("wallets", "add", "acme", "--descriptor", f"@{kept}")
    assert "already" in str(again)
    assert "no change branch" in world.text(
        "wallets", "add", "acme", "--descriptor", "-", "--gap-limit", "2",
        given=f"wpkh({XPUB}/8/*)",
    ).replace("\n", " ")
    listed = world.text("wallets", "descriptors")
    assert "40" in listed
    assert "0/7" in world.text("wallets", "list", "acme")
    kept.write_bytes(b"wpkh(\xff)")
    broken = world.error("wallets", "add", "acme", "--descriptor", f"@{kept}")
    assert "one descriptor" in str(broken)
    assert "2 addresses of descriptor 2" in world.text("wallets", "remove", "--descriptor", "2")


def test_words_that_do_not_fit_together_are_refused(world: World) -> None:
    for words in (
        ["add"], ["add", "acme"], ["add", "acme", "bitcoin"], ["add", "acme", "--entity", "other"],
        ["add", "acme", "bitcoin", "x", "--descriptor", TEXT],
        ["remove"], ["remove", "bitcoin"], ["remove", "bitcoin", "x", "--descriptor", "1"],
    ):
        assert world.error("wallets", *words).mend, words


@contextmanager
def working(world: World) -> Iterator[None]:
    """The backfill queue's openings, in the background, as the fleet runs them."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.05):
            world.openings()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_waiting_ends_when_it_is_known_what_a_wallet_or_descriptor_holds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrapping, "LOOK_SECONDS", 0.05)
    address = world.scene.address(world.scene.chain.add_key(key(7)))
    with working(world):
        shown = world.text("wallets", "add", "acme", "bitcoin", address, "--wait")
        assert "opened: what it holds is known" in shown
        shown = world.text("wallets", "add", "acme", "--descriptor", TEXT, "--wait")
        assert "opened: what it holds is known" in shown


def test_waiting_says_why_a_wallet_cannot_be_opened(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrapping, "LOOK_SECONDS", 0.05)
    world.scene.publish()
    world.scene.settings = Settings(
        **{
            **world.scene.settings.model_dump(),
            "bitcoin_sources": (f"files:{world.scene.blocks}",),
        }
    )
    address = world.scene.address(world.scene.chain.add_key(key(7)))
    with working(world):
        shown = world.text("wallets", "add", "acme", "bitcoin", address, "--wait")
    assert "not opened: no configured source can list what an address holds" in " ".join(
        shown.split()
    )


# -- backfill --------------------------------------------------------------------------------------


def late_wallet(world: World, *, final: bool = False) -> str:
    """A wallet with three movements in two blocks, added and opened later; `final`: all of it."""
    scene = world.scene
    world.openings()  # of the holder's own
    late = scene.chain.add_key(key(7))
    paid = scene.chain.spend(scene.coin(), [(late, 10 * COIN)], change=scene.holder, fee=FEE)
    block = scene.chain.mine(1, txs=[paid])[0]
    coin = next(utxo for utxo in block.utxos if utxo.script == late)
    spent = scene.chain.spend(coin, [(scene.stranger, 4 * COIN)], change=late, fee=FEE)
    scene.chain.mine(1, txs=[spent])
    scene.tick()
    address = scene.address(late)
    made = world.api.write(
        "POST", "/v1/entities/acme/wallets", json={"chain": "bitcoin", "address": address}
    )
    assert made.json()["state"] == "bootstrapping"
    assert world.bells.rung == ["backfill"]
    world.openings()
    if final:
        scene.chain.mine(100)
        scene.tick()
    return address


def ask(world: World, **body: Any) -> Any:
    return world.api.write("POST", "/v1/backfill", json={"chain": "bitcoin", **body})


def test_a_backfill_is_asked_for_listed_read_and_done(world: World) -> None:
    address = late_wallet(world, final=True)
    world.bells.rung.clear()
    reply = ask(world, addresses=[address], **{"from": 0})
    assert reply.status_code == 201, reply.text
    job = reply.json()
    assert (job["state"], job["from_height"], job["percent"]) == ("waiting", 0, "0.0")
    assert (job["entities"], job["wallets"], job["left_out"]) == (["acme"], 1, [])
    assert (job["blocks_per_second"], job["eta_seconds"]) == (None, None)
    assert world.bells.rung == ["backfill"]
    world.backfill()
    (item,) = world.api.get("/v1/backfill")["items"]
    assert (item["state"], item["percent"], item["movements"]) == ("done", "100.0", 3)
    wallet = next(
        each for each in world.api.get("/v1/entities/acme/wallets")["items"]
        if each["address"] == address
    )
    assert wallet["history_from"] == 0
    ended = world.api.write("DELETE", f"/v1/backfill/{job['id']}")
    assert (ended.status_code, ended.json()["code"]) == (409, "conflict")


def test_heights_below_the_scan_are_shown_once_backfill_has_read_them(world: World) -> None:
    scene = world.scene
    mine = "/v1/entities/acme/holdings?closed=false&at=bitcoin:"
    for item in world.api.get("/v1/entities/acme/wallets")["items"]:
        world.api.write("DELETE", f"/v1/wallets/bitcoin/{item['address']}")
    address = scene.address(scene.chain.coinbase(1).script)  # every reward is paid to it
    world.api.write(
        "POST", "/v1/entities/acme/wallets", json={"chain": "bitcoin", "address": address}
    )
    world.openings()
    scene.chain.mine(100)
    scene.tick()
    refused = world.api.request("GET", f"{mine}50")
    assert (refused.status_code, refused.json()["field"]) == (422, "at")
    assert f"from {FIRST} to" in refused.json()["mend"]
    ask(world, addresses=[address], **{"from": 0})
    world.backfill()
    for height in (1, 50, FIRST - 1):
        found = world.api.get(f"{mine}{height}")
        (onchain,) = [item["onchain"] for item in found["assets"] if item["asset"] == "BTC"]
        assert onchain["amount"] == str(height * 50 * COIN)
        assert onchain["as_of_block"]["height"] == height
        assert onchain["as_of_block"]["finality"] == "final"


def test_a_second_range_for_a_wallet_waits_for_the_first_to_end(world: World) -> None:
    address = late_wallet(world)
    first = ask(world, addresses=[address], **{"from": "0"}).json()
    again = ask(world, entity="acme", **{"from": 5})
    assert again.status_code == 409
    assert f"cancel {first['id']}" in again.json()["mend"]
    assert "block 0 is not final yet" not in world.text("backfill")
    final = world.api.get("/v1/chains")["items"][0]["final_height"]
    with world.scene.database.transaction() as session:
        job = session.get(BackfillJob, first["id"])
        assert job is not None
        job.next_height = final + 1
    (item,) = world.api.get("/v1/backfill")["items"]
    assert (item["waits"], item["eta_seconds"]) == (f"block {final + 1} is not final yet", None)
    assert "is not final yet" in world.text("backfill")
    gone = world.api.write("DELETE", f"/v1/backfill/{first['id']}")
    assert gone.json()["state"] == "cancelled"
    assert ask(world, entity="acme", **{"from": 5}).status_code == 201


def test_wallets_that_are_not_opened_or_known_from_earlier_on_are_left_out_by_name(
    world: World,
) -> None:
    address = late_wallet(world)
    other = world.scene.address(world.scene.chain.add_key(key(8)))
    made = {"chain": "bitcoin", "address": other}
    world.api.write("POST", "/v1/entities/acme/wallets", json=made)
    job = ask(world, entity="acme", **{"from": FIRST + 1}).json()
    left = {each["address"]: each["reason"] for each in job["left_out"]}
    assert job["wallets"] == 1
    assert left[other] == "its opening is not taken yet"
    assert left[world.scene.address(world.scene.holder)].startswith("its history is known from")
    assert address not in left


def test_a_backfill_that_cannot_be_is_refused_with_its_mend(world: World) -> None:
    world.openings()
    for body, status, field in (
        ({"from": -1}, 422, "from"),
        ({"from": "soon"}, 422, "from"),
        ({"from": "1999-01-01"}, 422, "from"),
        ({"from": "2999-01-01"}, 422, "from"),
        ({}, 422, "from"),
        ({"from": 10**9}, 422, "from"),
        ({"from": 0, "chain": "doge"}, 422, "chain"),
        ({"from": "2011-02-02", "chain": "doge"}, 422, "chain"),
        ({"from": 0, "chain": "ethereum"}, 422, "from_height"),
        ({"from": 0, "entity": "nobody"}, 404, "entity"),
        ({"from": 0, "addresses": ["nonsense"]}, 422, "address"),
        ({"from": 0, "entity": "acme", "addresses": ["x"]}, 422, "addresses"),
    ):
        reply = ask(world, **body)
        assert (reply.status_code, reply.json()["field"]) == (status, field), reply.text
        assert reply.json()["mend"]
    assert world.api.get("/v1/backfill")["items"] == []


def test_an_address_that_is_nobody_s_wallet_is_named(world: World) -> None:
    reply = ask(world, addresses=[world.scene.address(world.scene.stranger)], **{"from": 0})
    assert reply.status_code == 404
    assert "wallets add" in reply.json()["mend"]


def test_a_date_becomes_a_height_some_hours_below_its_first_block(world: World) -> None:
    late_wallet(world)
    # Blocks of this chain come every ten minutes from 2011-02-02 23:16:42 on, up to 104.
    job = ask(world, entity="acme", **{"from": "2011-02-03T12:00:00Z"}).json()
    first = -(-(1_296_734_400 - GENESIS_TIME) // 600)  # 76
    assert first - 2 * 12 <= job["from_height"] <= first
    world.api.write("DELETE", f"/v1/backfill/{job['id']}")
    job = ask(world, entity="acme", **{"from": "2011-02-01"}).json()
    assert job["from_height"] == 0


def test_the_command_line_starts_follows_lists_and_cancels(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = late_wallet(world, final=True)
    shown = world.text("backfill", "start", "acme", "--from", "0")
    assert "waiting" in shown
    assert "cancelled" in world.text("backfill", "cancel", "1")
    ended = threading.Thread(target=lambda: (started.wait(), world.backfill()))
    started = threading.Event()
    real = world.api.services.doorbell.ring

    def rung(queue: str) -> None:
        real(queue)
        started.set()

    monkeypatch.setattr(world.bells, "ring", rung)
    ended.start()
    shown = world.text("backfill", "start", "--address", address, "--from", "0", "--follow")
    ended.join()
    assert "done" in shown
    assert [line.split()[0] for line in world.text("backfill").splitlines()[1:]] == ["2", "1"]
    assert "3" in world.run("backfill", "follow", "2", "--json").output
    assert world.error("backfill", "follow", "9").mend
    with world.scene.database.transaction() as session:
        assert session.get(BackfillJob, 2).movements == 3
