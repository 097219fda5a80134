"""What the supervisor learns from the API, over real HTTP."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker.config import Settings
from tracker.embedded.health import HealthProbe, SourceHealth


class Api(http.server.ThreadingHTTPServer):
    """Answers what the test put in, and remembers the bearer keys it was shown."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: dict[str, tuple[int, bytes]] = {}
        self.keys: list[str | None] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self.server.keys.append(self.headers["Authorization"])
        status, body = self.server.replies[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _probe(api: Api, tmp_path: Path, *, keys: bool = False) -> HealthProbe:
    return HealthProbe(
        Settings(
            host="0.0.0.0",
            port=api.server_port,
            data_dir=tmp_path,
            api_keys_required_for_reads=keys,
        )
    )


def _items(*items: dict[str, object]) -> bytes:
    return json.dumps({"items": items, "next": None}).encode()


def test_nobody_listens(tmp_path: Path) -> None:
    with Api() as closed:
        port = closed.server_port
    health = HealthProbe(Settings(port=port, data_dir=tmp_path)).look()
    assert not health.ready
    assert health.sources is None
    assert health.reason is not None


def test_not_ready_says_its_status(api: Api, tmp_path: Path) -> None:
    api.replies = {"/readyz": (503, b"")}
    health = _probe(api, tmp_path).look()
    assert (health.ready, health.sources, health.reason) == (False, None, "/readyz answers 503")


def test_sources_are_read_and_made_fit_for_a_terminal(api: Api, tmp_path: Path) -> None:
    api.replies = {
        "/readyz": (200, b"{}"),
        "/v1/sources": (
            200,
            _items(
                {"name": "one", "state": "ok", "height": 866342, "more": 1},
                {"name": "two\x1b[31m", "state": "unreachable", "last_error": "x" * 500},
            ),
        ),
    }
    health = _probe(api, tmp_path).look()
    assert health.ready
    assert health.sources is not None
    assert health.sources[0] == SourceHealth("one", "ok", 866342, None, None)
    assert health.sources[1].name == "two [31m"
    assert len(health.sources[1].last_error or "") == 120


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, b"", "/v1/sources answers 500"),
        (200, b"<html>", "/v1/sources is not understood"),
        (200, b"[]", "/v1/sources is not understood"),
        (200, b'{"items": [{"name": "x"}]}', "/v1/sources is not understood"),
    ],
)
def test_ready_stays_ready_when_the_sources_are_not_understood(
    api: Api, tmp_path: Path, status: int, body: bytes, reason: str
) -> None:
    api.replies = {"/readyz": (200, b""), "/v1/sources": (status, body)}
    health = _probe(api, tmp_path).look()
    assert (health.ready, health.sources, health.reason) == (True, None, reason)


@pytest.mark.parametrize(("needed", "shown"), [(False, None), (True, "Bearer a-key")])
def test_the_key_is_shown_only_where_reads_need_it(
    api: Api, tmp_path: Path, needed: bool, shown: str | None
) -> None:
    (tmp_path / "admin.key").write_text("a-key\n")
    api.replies = {"/readyz": (200, b""), "/v1/sources": (200, _items())}
    assert _probe(api, tmp_path, keys=needed).look().sources == ()
    assert set(api.keys) == {shown}


def test_the_address_is_one_this_machine_can_open(tmp_path: Path) -> None:
    def address(host: str) -> str:
        return HealthProbe(Settings(host=host, port=8321, data_dir=tmp_path)).address

    assert address("0.0.0.0") == "http://127.0.0.1:8321"
    assert address("::") == "http://[::1]:8321"
    assert address("192.0.2.7") == "http://192.0.2.7:8321"
