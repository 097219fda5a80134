"""The HTTP client of sources against real servers that drip, hang up, lie about sizes, and bomb."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tracker.chains.http import HttpClient
from tracker.chains.port import SlowDownError
from tracker.chains.transport import resolve
from tracker.errors import ReplyError, SourceUnavailableError

LIMIT = 1_000_000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Server:
    """A socket server: `behave` gets each connection; how many came is counted."""

    url: str = ""
    connections: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)


Behave = Callable[[socket.socket, Server], None]


@contextmanager
def listening(behave: Behave) -> Iterator[Server]:
    """Serve every connection by `behave`, one thread each, until the block ends."""
    server = Server()
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with connection:
            try:
                behave(connection, server)
            except OSError:
                return  # the client hung up, which is what is tested

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            threads.append(threading.Thread(target=one, args=(connection,)))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield server
        finally:
            server.stopping.set()
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for thread in threads:
                thread.join()


def ask(url: str, *, timeout: float = 5.0, path: str = "/") -> bytes:
    client = HttpClient(url, timeout_seconds=timeout, user_agent="test", field="URL")
    try:
        return client.get(path, limit=LIMIT).body
    finally:
        client.close()


def drip(first: bytes, rest: bytes) -> Behave:
    """Send `first` at once, then `rest` byte by byte, each well within the timeout."""

    def behave(connection: socket.socket, server: Server) -> None:
        connection.recv(65536)
        connection.sendall(first)
        for byte in rest:
            if server.stopping.wait(0.02):
                return
            connection.sendall(bytes([byte]))

    return behave


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        (b"", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50),
        (b"HTTP/1.1 200 OK\r\n", b"X-Slow: 1\r\n" * 50),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"1" * 400),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 100),
    ],
    ids=["status", "headers", "continue", "body", "chunks"],
)
def test_a_server_that_drips_holds_nobody_longer_than_the_timeout(
    first: bytes, rest: bytes
) -> None:
    with listening(drip(first, rest)) as server:
        started = time.monotonic()
        with pytest.raises(SourceUnavailableError, match=r"took longer than 0\.15 seconds"):
            ask(server.url, timeout=0.15)
        assert time.monotonic() - started < 1.5  # the drip alone would take 6 s and more


def test_a_redirect_does_not_start_the_time_anew() -> None:
    def behave(connection: socket.socket, server: Server) -> None:
        while connection.recv(65536):
            server.stopping.wait(0.06)
            connection.sendall(
                b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
            )

    with listening(behave) as server, pytest.raises(
        SourceUnavailableError, match=r"took longer than 0\.1 seconds"
    ):
        ask(server.url, timeout=0.1)


def test_a_silent_server_is_given_up() -> None:
    with listening(lambda _, server: server.stopping.wait(5) and None) as server, pytest.raises(
        SourceUnavailableError, match="took longer"
    ):
        ask(server.url, timeout=0.1)


def test_a_small_bomb_stays_small() -> None:
    packed = gzip.compress(bytes(100_000_000), compresslevel=1)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"

    def behave(connection: socket.socket, _: Server) -> None:
        connection.recv(65536)
        connection.sendall(head.encode() + packed)

    with listening(behave) as server:
        tracemalloc.start()
        try:
            with pytest.raises(ReplyError, match="more than 1000000 bytes"):
                ask(server.url)
            assert tracemalloc.get_traced_memory()[1] < 10_000_000
        finally:
            tracemalloc.stop()


def test_packed_answers_are_unpacked_and_only_gzip_is_asked_for() -> None:
    packed = gzip.compress(b"block" * 1000)
    asked: list[bytes] = []

    def behave(connection: socket.socket, _: Server) -> None:
        asked.append(connection.recv(65536))
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
            % len(packed) + packed
        )

    with listening(behave) as server:
        assert ask(server.url) == b"block" * 1000
    assert b"Accept-Encoding: gzip\r\n" in asked[0]


def test_endless_headers_are_no_answer() -> None:
    def behave(connection: socket.socket, _: Server) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5_000 + b"\r\n")

    with listening(behave) as server, pytest.raises(
        SourceUnavailableError, match="cannot be reached"
    ):
        ask(server.url)


def test_a_connection_is_kept_and_used_again() -> None:
    def behave(connection: socket.socket, _: Server) -> None:
        while connection.recv(65536):
            connection.sendall(OK)

    with listening(behave) as server:
        client = HttpClient(server.url, timeout_seconds=5, user_agent="test", field="URL")
        for _ in range(5):
            assert client.get("/", limit=10).body == b"ok"
        client.close()
    assert server.connections == 1


def test_a_kept_connection_that_is_closed_under_the_question_costs_nothing() -> None:
    def behave(connection: socket.socket, server: Server) -> None:
        connection.recv(65536)
        connection.sendall(OK)
        connection.recv(65536)  # the second question is never answered here

    with listening(behave) as server:
        client = HttpClient(server.url, timeout_seconds=5, user_agent="test", field="URL")
        assert [client.get("/", limit=10).body for _ in range(3)] == [b"ok"] * 3
        client.close()
    assert server.connections == 3


def test_a_server_that_always_hangs_up_is_asked_twice_and_no_more() -> None:
    with listening(lambda connection, _: connection.recv(65536) and None) as server, pytest.raises(
        SourceUnavailableError, match="no connection"
    ):
        ask(server.url)
    assert server.connections == 2


def test_half_an_answer_is_none() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    with listening(drip(half, b"")) as server, pytest.raises(SourceUnavailableError):
        ask(server.url)


def test_retry_after_is_shown_with_any_status_and_429_is_a_wish_to_slow_down() -> None:
    def behave(connection: socket.socket, _: Server) -> None:
        status = b"429 Slow" if b"/busy" in connection.recv(65536) else b"403 No"
        connection.sendall(
            b"HTTP/1.1 " + status + b"\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
        )

    with listening(behave) as server:
        client = HttpClient(server.url, timeout_seconds=5, user_agent="test", field="URL")
        reply = client.get("/", limit=10)
        assert (reply.status, reply.retry_after) == (403, 7.0)
        with pytest.raises(SlowDownError) as caught:
            client.get("/busy", limit=10)
        assert caught.value.retry_after == 7.0
        client.close()


def test_a_name_is_resolved_within_the_time_and_an_address_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert resolve("[::1]", 80, 0.0) == ["::1"]
    assert "127.0.0.1" in resolve("localhost", 80, 5.0)
    gone = threading.Event()

    def stuck(*_: object, **__: object) -> list[object]:
        gone.wait(5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", stuck)  # a resolver that answers too late
    started = time.monotonic()
    try:
        with pytest.raises(SourceUnavailableError, match="cannot be reached: timed out"):
            ask("http://slow.example", timeout=0.1)
    finally:
        gone.set()
    assert time.monotonic() - started < 1.5


def test_a_name_that_is_none_is_no_connection() -> None:
    with pytest.raises(SourceUnavailableError, match="no connection"):
        ask(f"http://{'a' * 70}.example")  # a label of 70: no resolver is asked
