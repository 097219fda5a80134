"""`tracker listen` as a process: it verifies, shows, forwards, registers and cleans up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from tests.data import ROOT
from tests.receiver import answer, receiving
from tracker import signing
from tracker.events.body import event_body
from tracker.webhooks import samples

SECRET = signing.new_secret()


class Listening:
    """The process and where it listens."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def end(self) -> tuple[str, str]:
        """Interrupt it as Ctrl-C does; what it has written."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=30)


@contextmanager
def listening(*options: str, **environment: str) -> Iterator[Listening]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import typer; from tracker.cli.listen import listen; typer.run(listen)",
            *options,
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "200"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("listening on http://127.0.0.1:"), line + process.stderr.read()
        yield Listening(process, line.split()[-1])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def webhook(
    event_type: str = "sell_off.opened", secret: str = SECRET, age: int = 0
) -> tuple[dict[str, str], bytes]:
    now = datetime.now(UTC) - timedelta(seconds=age)
    sample = samples.sample(event_type, series="ab12", base_url="http://127.0.0.1:8321", now=now)
    body = event_body(event_type, now, sample.data)
    return {
        "Content-Type": "application/json",
        "webhook-id": sample.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signing.sign([secret], sample.id, now, body),
        "tracker-sequence": "7",
    }, body


def send(url: str, headers: dict[str, str], body: bytes) -> int:
    return requests.post(url, headers=headers, data=body, timeout=10).status_code


def test_a_verified_event_is_shown_as_json_and_once_ends() -> None:
    headers, body = webhook()
    with listening("--secret", SECRET, "--json", "--once") as listener:
        assert send(listener.url, headers, body) == 204
        out, _ = listener.process.communicate(timeout=30)
        assert listener.process.returncode == 0
    (line,) = [json.loads(text) for text in out.splitlines()]
    assert line["verified"] is True
    assert (line["id"], line["sequence"]) == (headers["webhook-id"], "7")
    assert {name: line[name] for name in ("type", "timestamp", "data")} == json.loads(body)


def test_a_verified_event_is_shown_to_people() -> None:
    with listening(TRACKER_LISTEN_SECRET=SECRET) as listener:
        assert send(listener.url, *webhook("sell_off.retracted")) == 204
        out, _ = listener.end()
        assert listener.process.returncode == 0
    assert "sell_off.retracted" in out
    assert "Example Treasury Inc.: 120 BTC, custody_move" in out
    assert "a test: nothing happened" in out


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: webhook(secret=signing.new_secret()), "no signature matches"),
        (lambda: webhook(age=400), " s old"),
        (lambda: ({}, b"{}"), "header is missing"),
    ],
)
def test_a_bad_signature_is_answered_401_and_said(
    made: Callable[[], tuple[dict[str, str], bytes]], reason: str
) -> None:
    with listening("--secret", SECRET, "--json", "--once") as listener:
        assert send(listener.url, *made()) == 401
        assert listener.process.poll() is None  # --once waits for a verified one
        out, _ = listener.end()
    line = json.loads(out)
    assert line["verified"] is False
    assert reason in line["refused"]
    assert "data" not in line


def test_a_bad_signature_is_a_clear_line_for_people() -> None:
    with listening("--secret", SECRET) as listener:
        assert send(listener.url, *webhook(secret=signing.new_secret())) == 401
        out, _ = listener.end()
    assert "refused: no signature matches" in out


def test_what_is_no_webhook_is_refused_at_once() -> None:
    with listening("--secret", SECRET, "--json") as listener:
        assert requests.get(listener.url, timeout=10).status_code == 501
        assert send(listener.url, {"Content-Length": "x"}, b"") == 411
        assert send(listener.url, {"Content-Length": "9" * 9}, b"") == 413
        assert send(listener.url, {"Content-Length": "9" * 5000}, b"") == 411
        headers, _ = webhook()
        now = datetime.now(UTC)
        signature = signing.sign([SECRET], headers["webhook-id"], now, b"[]")
        stamp = str(int(now.timestamp()))
        changed = headers | {"webhook-timestamp": stamp, "webhook-signature": signature}
        assert send(listener.url, changed, b"[]") == 400
        listener.end()


def test_the_same_bytes_and_headers_are_forwarded() -> None:
    headers, body = webhook()
    with (
        receiving(answer(202)) as handler,
        listening("--secret", SECRET, "--json", "--once", "--forward-to", handler.url) as listener,
    ):
        assert send(listener.url, headers, body) == 204
        out, _ = listener.process.communicate(timeout=30)
    assert json.loads(out)["forwarded"] == "202"
    (forwarded,) = handler.requests
    assert forwarded.body == body
    assert (
        headers.items()
        <= (forwarded.headers | {"Content-Type": forwarded.headers["content-type"]}).items()
    )
    assert signing.verify([SECRET], forwarded.headers, forwarded.body, datetime.now(UTC))


def test_a_handler_that_is_down_is_said_and_the_sender_does_not_mind() -> None:
    with receiving(answer(204)) as closed:
        url = closed.url
    with listening("--secret", SECRET, "--json", "--forward-to", url, "--once") as listener:
        assert send(listener.url, *webhook()) == 204
        out, _ = listener.process.communicate(timeout=30)
    assert json.loads(out)["forwarded"] == "failed (ConnectionError)"


@contextmanager
def api() -> Iterator[tuple[str, list[tuple[str, str, str | None, object]]]]:
    """A real HTTP server with the two routes that registering needs."""
    calls: list[tuple[str, str, str | None, object]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _note(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            calls.append((self.command, self.path, self.headers.get("Authorization"), body))

        def do_POST(self) -> None:
            self._note()
            reply = json.dumps({"id": "ep_1", "secret": SECRET}).encode()
            self.send_response(201)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def do_DELETE(self) -> None:
            self._note()
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", calls
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("options", [(), ("--register",)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_registers_itself_and_removes_itself(
    options: tuple[str, ...], number: signal.Signals, tmp_path: Path
) -> None:
    with api() as (base, calls):
        environment = {
            "TRACKER_API_URL": base,
            "TRACKER_API_KEY": "ttk_test",
            "TRACKER_DATA_DIR": str(tmp_path),
        }
        with listening("--json", *options, **environment) as listener:
            assert listener.process.stderr is not None
            assert listener.process.stderr.readline() == "registered as ep_1 until this ends\n"
            assert send(listener.url, *webhook()) == 204
            listener.process.send_signal(number)
            out, err = listener.process.communicate(timeout=30)
            assert listener.process.returncode == 0
    assert json.loads(out)["verified"] is True
    assert err == "removed ep_1\n"
    host = listener.url.removeprefix("http://").rstrip("/")
    assert calls == [
        (
            "POST",
            "/v1/webhooks",
            "Bearer ttk_test",
            {"url": listener.url, "allow_hosts": [host], "description": "tracker listen"},
        ),
        ("DELETE", "/v1/webhooks/ep_1", "Bearer ttk_test", None),
    ]
