"""HTTP sources that misbehave, and specs that name none."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.block_servers import BlockServer, Canned, core_rest, esplora, serve
from tests.regtest import RegtestChain
from tracker.chains.bitcoin.block import MAX_BLOCK_BYTES
from tracker.chains.bitcoin.sources import open_pool, open_source
from tracker.chains.check import height_reply
from tracker.config import Settings
from tracker.errors import (
    ConfigError,
    InvalidBlockError,
    NotFoundError,
    ReplyError,
    SourceUnavailableError,
    TrackerError,
)

SETTINGS = Settings(bitcoin_network="regtest", http_timeout_seconds=1)
SECRET = "hunter2-is-a-secret"


@pytest.fixture(scope="module")
def chain() -> RegtestChain:
    found = RegtestChain(mature=False)
    found.mine(4)
    return found


@pytest.fixture
def esplora_server(chain: RegtestChain) -> Iterator[BlockServer]:
    with serve(chain, esplora) as server:
        yield server


@pytest.fixture
def core_server(chain: RegtestChain) -> Iterator[BlockServer]:
    with serve(chain, core_rest) as server:
        yield server


PAGE = b"<!DOCTYPE html><html>please wait</html>"


@pytest.mark.parametrize(
    ("canned", "error", "message"),
    [
        ((200, {}, PAGE), ReplyError, "without a height"),
        ((200, {}, b"-3"), ReplyError, "without a height"),
        ((200, {}, b"9" * 30), ReplyError, "without a height"),
        ((200, {}, b"1" * 100_000), ReplyError, "more than"),
        ((404, {}, b"no such endpoint"), ReplyError, "status 404"),
        ((429, {"Retry-After": "77"}, b"Too Many Requests"), SourceUnavailableError, "slow down"),
        ((503, {}, b"down"), SourceUnavailableError, "out of order"),
        ((302, {"Location": "http://elsewhere.example/"}, b""), ReplyError, "another host"),
        ((302, {"Location": "/blocks/tip/height"}, b""), ReplyError, "circle"),
        ((200, {"Content-Length": "5"}, b"1"), SourceUnavailableError, "reached|broke off"),
    ],
)
def test_a_height_that_is_none(
    esplora_server: BlockServer, canned: Canned, error: type[TrackerError], message: str
) -> None:
    esplora_server.canned["/blocks/tip/height"] = canned
    with pytest.raises(error, match=message):
        open_source(f"esplora+{esplora_server.url}", SETTINGS).tip()


def test_a_redirect_on_the_same_host_is_followed(
    esplora_server: BlockServer, chain: RegtestChain
) -> None:
    moved: Canned = (301, {"Location": f"/block-height/{chain.height}"}, b"")
    esplora_server.canned["/block-height/1000"] = moved
    source = open_source(f"esplora+{esplora_server.url}", SETTINGS)
    assert source.block_hash(1000) == chain.tip.hash


def test_retry_after_is_kept_as_seconds(esplora_server: BlockServer) -> None:
    source = open_source(f"esplora+{esplora_server.url}", SETTINGS)
    soon = datetime.now(UTC) + timedelta(seconds=120)
    for value, low, high in (
        ("77", 77, 77), (format_datetime(soon, usegmt=True), 100, 121), ("9" * 12, 3600, 3600),
    ):
        esplora_server.canned["/blocks/tip/height"] = (429, {"Retry-After": value}, b"")
        with pytest.raises(SourceUnavailableError) as caught:
            source.tip()
        assert caught.value.retry_after is not None
        assert low <= caught.value.retry_after <= high
    for value in ("soon", f"Sun, 04 Oct {'9' * 20} 12:03:00 GMT"):
        esplora_server.canned["/blocks/tip/height"] = (429, {"Retry-After": value}, b"")
        with pytest.raises(SourceUnavailableError) as caught:
            source.tip()
        assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("canned", "error", "message"),
    [
        ((200, {}, PAGE), ReplyError, "web page"),
        ((200, {}, b"short"), InvalidBlockError, "80 bytes"),
        ((200, {}, bytes(300)), InvalidBlockError, "another block"),
        ((200, {}, bytes(MAX_BLOCK_BYTES + 1)), ReplyError, "more than"),
        ((404, {}, b"Block not found"), NotFoundError, "does not have"),
        ((400, {}, b"bad"), ReplyError, "status 400"),
    ],
)
def test_a_block_that_is_another(
    esplora_server: BlockServer, core_server: BlockServer, chain: RegtestChain, canned: Canned,
    error: type[TrackerError], message: str,
) -> None:
    wanted = chain.at(2).hash
    esplora_server.canned[f"/block/{wanted.hex()}/raw"] = canned
    core_server.canned[f"/rest/block/{wanted.hex()}.bin"] = canned
    expected = "does not have" if error is NotFoundError else message
    for spec in (f"esplora+{esplora_server.url}", f"core+{core_server.url}"):
        with pytest.raises(error, match=expected):
            open_source(spec, SETTINGS).block(wanted)


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", PAGE, b'{"blocks": true}', b'{"blocks": 4, "bestblockhash": "zz"}'],
)
def test_a_chain_info_that_is_none(core_server: BlockServer, body: bytes) -> None:
    core_server.canned["/rest/chaininfo.json"] = (200, {}, body)
    with pytest.raises(ReplyError):
        open_source(f"core+{core_server.url}", SETTINGS).tip()


class _Rpc:
    """A node without REST that answers JSON-RPC with what it is told to."""

    def __init__(self) -> None:
        self.answer: tuple[int, object] = (200, {})
        self.authorisations: list[str | None] = []
        rpc = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply(404, b"")

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                rpc.authorisations.append(self.headers["Authorization"])
                status, body = rpc.answer
                self._reply(status, body if isinstance(body, bytes) else json.dumps(body).encode())

            def _reply(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's
                """Stay quiet."""

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(
            target=self.httpd.serve_forever, kwargs={"poll_interval": 0.02}
        )
        self.thread.start()

    def spec(self, credentials: str = f"user:{SECRET}@", query: str = "") -> str:
        return f"core+http://{credentials}127.0.0.1:{self.httpd.server_address[1]}{query}"

    def close(self) -> None:
        self.httpd.shutdown()
        self.thread.join()
        self.httpd.server_close()


@pytest.fixture
def rpc() -> Iterator[_Rpc]:
    found = _Rpc()
    yield found
    found.close()


def _error(code: int, message: str) -> dict[str, object]:
    return {"result": None, "error": {"code": code, "message": message}, "id": "tracker"}


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ((500, _error(-28, "Loading block index…")), SourceUnavailableError, "is starting"),
        ((500, _error(-5, "Block not found")), NotFoundError, "Block not found"),
        ((500, _error(-1, "Block not available (pruned data)")), NotFoundError, "pruned"),
        ((500, _error(-32601, "Method not found")), ReplyError, "failed at getblock"),
        ((200, {"result": 7, "error": None}), ReplyError, "something else"),
        ((200, {"result": "zz", "error": None}), ReplyError, "something else"),
        ((200, []), ReplyError, "something else"),
        ((200, PAGE), ReplyError, "something else"),
        ((401, b""), ConfigError, "refuses the credentials"),
        ((403, b""), ConfigError, "refuses the credentials"),
    ],
)
def test_rpc_failures_become_our_errors(
    rpc: _Rpc, answer: tuple[int, object], error: type[TrackerError], message: str
) -> None:
    rpc.answer = answer
    with pytest.raises(error, match=message) as caught:
        open_source(rpc.spec(), SETTINGS).block(bytes(32))
    assert SECRET not in str(caught.value)


def test_the_credentials_go_to_the_node_and_nowhere_else(rpc: _Rpc) -> None:
    rpc.answer = (500, _error(-8, "Block height out of range"))
    source = open_source(rpc.spec(), SETTINGS)
    assert source.block_hash(10) is None
    assert rpc.authorisations[0] is not None
    assert rpc.authorisations[0].startswith("Basic ")
    assert SECRET not in source.name
    assert "user" not in source.name


def test_a_new_cookie_is_read_when_the_old_one_is_refused(rpc: _Rpc, tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:old")
    source = open_source(rpc.spec("", f"?cookie={cookie}"), SETTINGS)
    cookie.write_text("__cookie__:new")
    rpc.answer = (401, b"")
    with pytest.raises(ConfigError):
        source.tip()
    assert len(set(rpc.authorisations)) == 2


@pytest.mark.parametrize(
    "spec",
    [
        "", "nonsense", "http://host", f"ftp+ftp://user:{SECRET}@host", "files:",
        f"core+ftp://user:{SECRET}@host", f"core+http://user:{SECRET}@", "esplora+https://",
        f"core+http://user:{SECRET}@host:99999", f"http://user:{SECRET}@host:8332",
        f"core+http://user:{SECRET}@[::1", "core+http://h?cookie=/nonexistent/cookie",
        f"esplora+https://user:{SECRET}@[::1", f"esplora+https://host/api?key={SECRET}",
    ],
)
def test_a_bad_spec_is_a_config_error_without_its_secret(spec: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(spec, SETTINGS)
    assert SECRET not in str(caught.value)
    assert caught.value.field == "TRACKER_BITCOIN_SOURCES"
    assert caught.value.mend


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("esplora+https://mempool.space/api/", "esplora+https://mempool.space/api"),
        ("esplora+https://host/a-long-word-without-digits/api",
         "esplora+https://host/a-long-word-without-digits/api"),
        ("core+https://go.node.example/0a1b2c3d4e5f60718293a4b5/v1",
         "core+https://go.node.example/…a4b5/v1"),
    ],
)
def test_a_key_in_the_path_stays_out_of_the_name(spec: str, name: str) -> None:
    assert open_source(spec, SETTINGS).name == name


def test_the_path_with_its_key_is_what_is_asked(
    chain: RegtestChain, esplora_server: BlockServer
) -> None:
    key = "0a1b2c3d4e5f60718293a4b5"
    height = str(chain.height).encode()
    esplora_server.canned[f"/{key}/blocks/tip/height"] = (200, {}, height)
    found = chain.tip.hash.hex().encode()
    esplora_server.canned[f"/{key}/block-height/{chain.height}"] = (200, {}, found)
    assert open_source(f"esplora+{esplora_server.url}/{key}", SETTINGS).tip().hash == chain.tip.hash


def test_a_node_that_is_started_again_without_rest_is_asked_by_rpc(
    core_server: BlockServer,
) -> None:
    source = open_source(f"core+{core_server.url}", SETTINGS)
    source.tip()
    core_server.canned["/rest/chaininfo.json"] = (404, {}, b"")
    with pytest.raises(ReplyError, match="status 404"):
        source.tip()
    with pytest.raises(ReplyError, match="something else"):  # to a POST, which it does not know
        source.tip()


def test_no_source_at_all_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="no Bitcoin source"):
        open_pool(Settings(bitcoin_sources=()))


def test_an_unreachable_source_is_unavailable_and_keeps_its_secret() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    source = open_source(f"core+http://user:{SECRET}@127.0.0.1:{port}", SETTINGS)
    with pytest.raises(SourceUnavailableError, match="no connection") as caught:
        source.tip()
    assert SECRET not in str(caught.value)


def test_a_source_that_drips_bytes_meets_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not stop.wait(0.05):
                    try:
                        connection.sendall(b"1")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        settings = Settings(http_timeout_seconds=0.3)
        source = open_source(f"esplora+http://127.0.0.1:{server.getsockname()[1]}", settings)
        started = time.monotonic()
        try:
            with pytest.raises(SourceUnavailableError, match=r"longer than 0\.3 seconds"):
                source.tip()
        finally:
            stop.set()
            thread.join()
        assert time.monotonic() - started < 10


@pytest.mark.parametrize("value", [None, True, -1, "1.5", "", "٣", 10**12, [1]])
def test_what_is_no_height(value: object) -> None:
    with pytest.raises(ReplyError, match="without a height"):
        height_reply(value, "somebody", "height")
