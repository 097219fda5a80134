"""The sender against real servers: what succeeds, what is refused, what is cut."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.receiver import Behaviour, Received, Receiver, answer, receiving
from tracker.webhooks.sender import KEPT_CHARACTERS, Reply, Sender
from tracker.webhooks.target import Policy

BODY = b'{"type":"test.ping"}'


@contextmanager
def sending(timeout: float = 5.0, **options: object) -> Iterator[Sender]:
    policy = Policy(ports=(443,), allow_http=False)
    sender = Sender(timeout_seconds=timeout, policy=policy, concurrency=4, **options)  # type: ignore[arg-type]
    try:
        yield sender
    finally:
        sender.close()


def post(behave: Behaviour, timeout: float = 5.0) -> tuple[Reply, Receiver]:
    with receiving(behave) as receiver, sending(timeout) as sender:
        return sender.post(receiver.url, {"X-A": "b"}, BODY, [receiver.host]), receiver


def test_a_2xx_with_its_body() -> None:
    reply, receiver = post(answer(204))
    assert (reply.status, reply.error, reply.response) == (204, None, "")
    assert receiver.requests[0].body == BODY
    assert receiver.requests[0].headers["x-a"] == "b"
    assert receiver.requests[0].headers["host"] == receiver.host
    assert receiver.requests[0].path == "/hook"


@pytest.mark.parametrize("status", [199 + 101, 302, 307, 400, 404, 410, 500])
def test_anything_else_fails(status: int) -> None:
    reply, receiver = post(answer(status))
    assert reply.status == status
    assert reply.error
    assert len(receiver.requests) == 1


def test_a_redirect_to_the_metadata_service_is_not_followed() -> None:
    reply, receiver = post(answer(302, Location="http://169.254.169.254/latest/meta-data"))
    assert reply.error == "answered 302: redirects are not followed"
    assert len(receiver.requests) == 1


def test_a_redirect_to_a_permitted_host_is_not_followed_either() -> None:
    with receiving(answer(204)) as second, sending() as sender:
        with receiving(answer(307, Location=second.url)) as first:
            reply = sender.post(first.url, {}, BODY, [first.host, second.host])
        assert reply.status == 307
        assert second.requests == []


def test_retry_after_is_handed_on() -> None:
    reply, _ = post(answer(429, Retry_After="17"))
    assert reply.retry_after == "17"


def test_a_huge_answer_is_read_and_kept_in_part() -> None:
    reply, _ = post(answer(500, b"a\x00b" + b"x" * 50_000_000))
    assert reply.response is not None
    assert len(reply.response) == KEPT_CHARACTERS
    assert reply.response.startswith("abx")


def test_a_silent_receiver_is_given_up_at_the_deadline() -> None:
    gone = threading.Event()

    def silent(handler: BaseHTTPRequestHandler, _: Received) -> None:
        gone.wait(10)

    reply, _ = post(silent, timeout=0.4)
    gone.set()
    assert reply.status is None
    assert reply.error == "no whole answer within 0.4 s"
    assert reply.duration_ms < 2_000


def drip(head: bytes, rest: bytes) -> Behaviour:
    def behave(handler: BaseHTTPRequestHandler, _: Received) -> None:
        handler.wfile.write(head)
        for byte in rest * 200:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.05)

    return behave


def test_dripping_headers_are_cut_at_the_total_deadline() -> None:
    reply, _ = post(drip(b"HTTP/1.1 200 OK\r\n", b"X-Slow: 1\r\n"), timeout=0.6)
    assert reply.status is None
    assert reply.error == "no whole answer within 0.6 s"
    assert reply.duration_ms < 2_000


def test_a_dripping_body_is_cut_and_the_status_stands() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    reply, _ = post(drip(head, b"x"), timeout=0.6)
    assert (reply.status, reply.error) == (200, None)
    assert reply.duration_ms < 2_000


def test_what_is_not_http_is_no_answer() -> None:
    def nonsense(handler: BaseHTTPRequestHandler, _: Received) -> None:
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        handler.close_connection = True

    reply, _ = post(nonsense)
    assert reply.status is None
    assert reply.error is not None
    assert "not an HTTP answer" in reply.error


def test_endless_headers_are_no_answer() -> None:
    def endless(handler: BaseHTTPRequestHandler, _: Received) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n")
        handler.close_connection = True

    reply, _ = post(endless)
    assert reply.status is None


def test_a_closed_port_is_a_refused_connection() -> None:
    with receiving(answer(204)) as receiver:
        url, host = receiver.url, receiver.host
    with sending() as sender:
        reply = sender.post(url, {}, BODY, [host])
    assert reply.error == "no connection: Connection refused"


def test_a_connection_is_used_again() -> None:
    with receiving(answer(204)) as receiver, sending() as sender:
        for _ in range(3):
            assert sender.post(receiver.url, {}, BODY, [receiver.host]).status == 204
    assert len({request.client for request in receiver.requests}) == 1


def test_a_connection_that_the_receiver_closed_is_not() -> None:
    def close(handler: BaseHTTPRequestHandler, request: Received) -> None:
        answer(204)(handler, request)
        handler.close_connection = True

    with receiving(close) as receiver, sending() as sender:
        for _ in range(3):
            assert sender.post(receiver.url, {}, BODY, [receiver.host]).error is None
            time.sleep(0.05)
    assert len({request.client for request in receiver.requests}) == 3


def test_a_connection_that_nobody_uses_again_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = threading.Event()

    def until_closed(handler: BaseHTTPRequestHandler, received: Received) -> None:
        answer(204)(handler, received)
        if not handler.rfile.read(1):  # the end of the stream
            gone.set()

    monkeypatch.setattr("tracker.webhooks.sender._IDLE_SECONDS", 1e-9)
    with receiving(until_closed) as first, receiving(answer(204)) as second, sending() as sender:
        assert sender.post(first.url, {}, BODY, [first.host]).status == 204
        assert sender.post(second.url, {}, BODY, [second.host]).status == 204
        assert gone.wait(10)


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving(answer(204)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        reply, receiver = post(answer(204))
    assert reply.status == 204
    assert len(receiver.requests) == 1
    assert proxy.requests == []


# -- the guard ------------------------------------------------------------------------------------


def test_a_name_that_resolves_to_a_private_address_is_refused() -> None:
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["169.254.169.254", "fd00::1"]

    with sending(resolve=resolve) as sender:
        reply = sender.post("https://innocent.example/", {}, BODY, [])
    assert reply.status is None
    assert reply.error == ("refused: innocent.example is at 169.254.169.254, not a global address")
    assert asked == ["innocent.example"]


def test_a_name_that_changes_its_answer_gains_nothing() -> None:
    """Rebinding: the first answer was fit, the next is loopback, where a server really listens."""
    with receiving(answer(204)) as receiver:
        answers = iter([["192.0.2.7"], ["127.0.0.1"]])
        policy = Policy(ports=(443, receiver.port), allow_http=True)
        sender = Sender(
            timeout_seconds=2.0, policy=policy, concurrency=2, resolve=lambda *_: next(answers)
        )
        url = f"http://rebind.example:{receiver.port}/"
        replies = [sender.post(url, {}, BODY, []) for _ in range(2)]
        sender.close()
    assert [reply.status for reply in replies] == [None, None]
    assert all(reply.error and reply.error.startswith("refused:") for reply in replies)
    assert receiver.requests == []


def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    """One resolving a connection, and the name stays in the Host header."""
    asked: list[tuple[str, int]] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    with receiving(answer(204)) as receiver, sending(resolve=resolve) as sender:
        name = f"hooks.internal:{receiver.port}"
        reply = sender.post(f"http://{name}/", {}, BODY, [name])
    assert reply.status == 204
    assert asked == [("hooks.internal", receiver.port)]
    assert receiver.requests[0].headers["host"] == name


def test_an_address_that_does_not_answer_gives_way_to_the_next() -> None:
    with receiving(answer(204)) as receiver:
        name = f"hooks.internal:{receiver.port}"
        with sending(resolve=lambda *_: ["127.0.0.2", "127.0.0.1"]) as sender:
            assert sender.post(f"http://{name}/", {}, BODY, [name]).status == 204


def test_a_resolver_that_hangs_is_given_up_at_the_deadline() -> None:
    gone = threading.Event()

    def hang(host: str, port: int) -> list[str]:
        gone.wait(10)
        return []

    with sending(0.3, resolve=hang) as sender:
        reply = sender.post("https://slow.example/", {}, BODY, [])
        gone.set()
    assert reply.error == "resolving slow.example timed out"
    assert reply.duration_ms < 2_000


def test_a_name_that_does_not_resolve() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise OSError

    with sending(resolve=unknown) as sender:
        reply = sender.post("https://nowhere.example/", {}, BODY, [])
    assert reply.error == "the name nowhere.example does not resolve"


def test_settings_that_changed_after_registration_still_hold() -> None:
    with receiving(answer(204)) as receiver, sending() as sender:
        reply = sender.post(receiver.url, {}, BODY, [])
    assert reply.error == "plain http is not allowed"
    assert receiver.requests == []


# -- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for `hooks.internal` with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        if os.environ.get("CI") == "true":
            pytest.fail("openssl is not installed")
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=hooks.internal", "-addext", "subjectAltName=DNS:hooks.internal",
            "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return folder


@contextmanager
def tls_receiver(certificate: Path) -> Iterator[tuple[Receiver, list[str | None]]]:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with receiving(answer(204), tls=context) as receiver:
        yield receiver, names


@pytest.mark.parametrize(("name", "good"), [("hooks.internal", True), ("other.internal", False)])
def test_the_certificate_is_that_of_the_name_not_of_the_address(
    certificate: Path, name: str, good: bool
) -> None:
    trust = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    with tls_receiver(certificate) as (receiver, names):
        host = f"{name}:{receiver.port}"
        with sending(resolve=lambda *_: ["127.0.0.1"], tls=trust) as sender:
            replies = [sender.post(f"https://{host}/", {}, BODY, [host]) for _ in range(2)]
    assert set(names) == {name}
    assert [reply.status for reply in replies] == ([204, 204] if good else [None, None])
    if not good:
        assert "certificate is not accepted" in (replies[0].error or "")
        assert receiver.requests == []


def test_an_unknown_authority_is_not_accepted(certificate: Path) -> None:
    with tls_receiver(certificate) as (receiver, _):
        host = f"hooks.internal:{receiver.port}"
        with sending(resolve=lambda *_: ["127.0.0.1"]) as sender:
            reply = sender.post(f"https://{host}/", {}, BODY, [host])
    assert "certificate is not accepted" in (reply.error or "")


def test_a_handshake_that_never_ends_is_cut() -> None:
    with receiving(answer(204)) as receiver:
        host = f"hooks.internal:{receiver.port}"
        with sending(0.5, resolve=lambda *_: ["127.0.0.1"]) as sender:
            reply = sender.post(f"https://{host}/", {}, BODY, [host])
    assert reply.status is None
    assert reply.duration_ms < 2_000
