"""A holder's wallet set, read from its own server through the API and the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select
from typer.testing import CliRunner

from tests.api_service import Api, running_api, services_for
from tests.http_server import Response, serving
from tests.scene import Scene, second
from tracker.cli import main
from tracker.db.registry import Wallet

SET = "cold"


class Server:
    """What the holder's server answers; `asked` are the paths it was asked for."""

    def __init__(self) -> None:
        self.response = Response(status=404)
        self.asked: list[str] = []

    def name(self, *addresses: str) -> None:
        self.response = Response({each: {"address": each, "active": True} for each in addresses})

    def answer(self, path: str, _: dict[str, str]) -> Response:
        self.asked.append(path)
        return self.response


@pytest.fixture
def scene(postgres_url: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(postgres_url, tmp_path / "scene")
    with made.database.transaction() as session:
        session.delete(session.exec(select(Wallet)).one())  # the set shall name it instead
    yield made
    made.database.dispose()


@pytest.fixture
def api(scene: Scene, tmp_path: Path) -> Iterator[Api]:
    services = services_for(scene.url, tmp_path, clock=scene.now, bitcoin_network="regtest")
    with running_api(services) as api:
        yield api


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    with serving(server.answer) as url:
        yield url


def read(api: Api, place: str, **more: str):
    body = {"entity": "acme", "url": place, "wallet_id": SET, **more}
    return api.write("POST", "/v1/registry/attested", json=body)


def test_what_a_set_no_longer_names_takes_its_alerts_back(scene, api, server, url):
    server.name(scene.address(scene.holder))
    first = read(api, url)
    assert first.status_code == 200, first.text
    source = f"{url}/api/v1/wallet/{SET}"
    assert first.json() == {
        "entity": "acme", "source": source, "opened": 1, "kept": 0, "closed": 0, "rejected": [],
        "alerts_changed": 0,
    }  # fmt: skip
    assert server.asked == [f"/api/v1/wallet/{SET}"]
    (wallet,) = api.get("/v1/entities/acme/wallets")["items"]
    assert (wallet["tier"], wallet["source"]) == ("attested", source)
    assert api.get("/v1/entities/acme")["observability"] == "attested"
    assert read(api, url).json()["kept"] == 1

    scene.chain.mine(1, txs=[scene.sell()])
    scene.tick()
    (alert,) = api.get("/v1/alerts")["items"]
    assert (alert["rule"], alert["retracted"]) == ("sell_off", False)
    server.name(scene.address(second()), "not-an-address")
    moved = read(api, url).json()
    assert (moved["opened"], moved["closed"], moved["alerts_changed"]) == (1, 1, 1)
    assert [(row["row"], row["value"]) for row in moved["rejected"]] == [(2, "not-an-address")]
    again = api.get(f"/v1/alerts/{alert['id']}")
    assert (again["id"], again["retracted"]) == (alert["id"], True)
    assert f"{source} no longer names the address" in again["revisions"][-1]["why"]


@pytest.mark.parametrize(
    ("response", "status", "code"),
    [
        (Response({}), 502, "bad_reply"),
        (Response(b"<html>"), 502, "bad_reply"),
        (Response(status=404), 502, "bad_reply"),
        (Response(status=302, headers={"Location": "http://192.0.2.1/"}), 502, "bad_reply"),
        (Response(status=503), 503, "source_unavailable"),
    ],
)
def test_an_answer_without_a_set_changes_nothing(scene, api, server, url, response, status, code):
    server.name(scene.address(scene.holder))
    read(api, url)
    server.response = response
    reply = read(api, url)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert reply.json()["mend"]
    assert len(api.get("/v1/entities/acme/wallets")["items"]) == 1


@pytest.mark.parametrize(
    ("more", "status", "field"),
    [
        ({"entity": "nobody"}, 404, "entity"),
        ({"url": "ftp://example.org"}, 422, "url"),
        ({"url": "http://name:hunter2@127.0.0.1"}, 422, "url"),
        ({"wallet_id": "../admin"}, 422, "wallet_id"),
    ],
)
def test_a_place_that_cannot_be_is_refused_unasked(api, server, url, more, status, field):
    reply = read(api, url, **more)
    assert (reply.status_code, reply.json()["field"]) == (status, field)
    assert "hunter2" not in reply.text
    assert server.asked == []


def test_only_a_writing_key_may_make_the_service_ask(api, server, url):
    body = {"entity": "acme", "url": url, "wallet_id": SET}
    assert api.request("POST", "/v1/registry/attested", json=body).status_code == 401
    assert server.asked == []


def test_the_command_line_reads_a_set_and_tells_what_was_left_out(scene, api, server, url):
    environment = {
        "TRACKER_API_URL": api.url,
        "TRACKER_DATA_DIR": str(api.services.settings.data_dir),
        "TRACKER_DATABASE_URL": scene.url,
        "COLUMNS": "80",
    }

    def run(*words: str):
        return CliRunner().invoke(main.app, ["registry", "sync", *words], env=environment)

    options = ("--attested-url", url, "--wallet-id", SET, "--entity", "acme")
    server.name(scene.address(scene.holder))
    shown = run(*options)
    assert (shown.exit_code, "1 opened, 0 kept, 0 closed" in shown.stdout) == (0, True)
    assert json.loads(run(*options, "--json").stdout)["kept"] == 1
    server.name(scene.address(scene.holder), "not-an-address")
    partly = run(*options)
    assert (partly.exit_code, "row 2:" in partly.stdout) == (1, True)
    half = run("--wallet-id", SET)
    assert main.exit_code(half.exception) == 2
    assert half.exception.field == "--attested-url"
