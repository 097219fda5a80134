"""The sender: one POST within a total deadline, over a guarded connection, its answer bounded."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from tracker.errors import TrackerError
from tracker.webhooks.guard import Resolver, connect, system_resolver
from tracker.webhooks.target import DEFAULT_PORTS, Policy, Target, parse_target
from tracker.webhooks.watchdog import Watchdog

READ_CAP = 65_536  # bytes of an answer that are read; a longer one costs the connection
KEPT_CHARACTERS = 2_048  # characters of an answer that are stored
# Receivers close idle connections after 2 to 5 s; a POST on one just closed would fail for nothing.
_IDLE_SECONDS = 1.5
_SHORTEST_SECONDS = 0.01

# What a receiver and the network between can raise.
_TROUBLE = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one POST. `status` is None when no answer came; `error` None only on a 2xx."""

    status: int | None
    error: str | None
    response: str | None
    retry_after: str | None
    duration_ms: int


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket that the guard has connected; under TLS if a context is given.

    SNI and certificate are those of the name in the URL, not of the address.
    """

    def __init__(self, target: Target, dialled: socket.socket, tls: ssl.SSLContext) -> None:
        super().__init__(target.host, target.port)
        self.default_port = DEFAULT_PORTS[target.scheme]
        self._dialled = dialled
        self._tls = tls if target.scheme == "https" else None

    def wait_at_most(self, seconds: float) -> None:
        """Bound each single read and write."""
        (self.sock or self._dialled).settimeout(seconds)

    def connect(self) -> None:
        """Take the socket as it is, or shake hands on it."""
        self.sock = self._dialled
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self._dialled, server_hostname=self.host)


@dataclass(slots=True)
class _Line:
    """A connection, with a second handle on its socket, since TLS takes the first one over."""

    target: Target
    connection: _Connection
    handle: socket.socket
    idle_since: float = 0.0

    def hang_up(self) -> None:
        self.connection.close()
        self.handle.close()

    def is_quiet(self) -> bool:
        """True while the other side has neither closed the connection nor said anything more."""
        poll = select.poll()
        poll.register(self.handle, select.POLLIN)
        return not poll.poll(0)


class Sender:
    """Posts to endpoints; safe to share between threads. Close it when done.

    It follows no redirect and uses no proxy of the environment. Connections are kept for a moment
    to be used again by the same target.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float,
        policy: Policy,
        concurrency: int = 64,
        resolve: Resolver = system_resolver,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout = timeout_seconds
        self._policy = policy
        self._resolve = resolve
        self._resolvers = ThreadPoolExecutor(concurrency, thread_name_prefix="webhook-resolve")
        self._tls = tls or _trust()
        self._watchdog = Watchdog()
        self._idle: dict[Target, list[_Line]] = defaultdict(list)
        self._idle_lock = threading.Lock()

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, allow_hosts: Collection[str]
    ) -> Reply:
        """POST `body` and say what came of it; what a receiver or a network does never raises.

        From resolving to the last byte read it takes no longer than the time-out, but for the few
        milliseconds of noticing it.
        """
        started = time.monotonic()
        deadline = started + self._timeout
        try:
            target = parse_target(url, allow_hosts, self._policy)
            line = self._take(target) or self._dial(target, deadline)
        except TrackerError as error:
            return _failed(error.message, started)
        try:
            return self._exchange(line, headers, body, started)
        except _TROUBLE as error:
            line.hang_up()
            late = time.monotonic() > deadline - _SHORTEST_SECONDS
            what = f"no whole answer within {self._timeout:g} s" if late else _explained(error)
            return _failed(what, started)

    def close(self) -> None:
        """Close idle connections and end the helper threads."""
        with self._idle_lock:
            lines = [line for kept in self._idle.values() for line in kept]
            self._idle.clear()
        for line in lines:
            line.hang_up()
        self._watchdog.close()
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    def _exchange(
        self, line: _Line, headers: Mapping[str, str], body: bytes, started: float
    ) -> Reply:
        deadline = started + self._timeout
        # The socket's own time-out is for a silent receiver, the watchdog for one that drips.
        line.connection.wait_at_most(max(_SHORTEST_SECONDS, deadline - time.monotonic()))
        with self._watchdog.watching(line.handle, deadline) as watch:
            line.connection.request("POST", line.target.path, body=body, headers=headers)
            response = line.connection.getresponse()
            if watch.fired:
                # Headers that were cut read like headers that ended.
                raise TimeoutError
            try:
                content = response.read(READ_CAP)
                whole = response.isclosed()
            except _TROUBLE:
                # The status is the receiver's word; a body that broke off does not unsay it.
                content, whole = b"", False
        if whole and line.connection.sock is not None:
            self._keep(line)
        else:
            line.hang_up()
        return Reply(
            status=response.status,
            error=None if 200 <= response.status < 300 else _unwelcome(response.status),
            response=_stored(content),
            retry_after=response.headers.get("Retry-After"),
            duration_ms=_since(started),
        )

    def _dial(self, target: Target, deadline: float) -> _Line:
        dialled = connect(target, deadline, self._resolve, self._resolvers)
        return _Line(target, _Connection(target, dialled, self._tls), dialled.dup())

    def _take(self, target: Target) -> _Line | None:
        """A kept connection that is neither closed by the other side nor idle for long."""
        while True:
            with self._idle_lock:
                kept = self._idle.get(target)
                line = kept.pop() if kept else None
            if line is None:
                return None
            fresh = time.monotonic() - line.idle_since < _IDLE_SECONDS
            if fresh and line.is_quiet():
                return line
            line.hang_up()

    def _keep(self, line: _Line) -> None:
        """Keep a connection for the next POST, and give up those that waited for none."""
        line.idle_since = time.monotonic()
        stale: list[_Line] = []
        with self._idle_lock:
            self._idle[line.target].append(line)
            for target, kept in list(self._idle.items()):
                # The oldest is first, since the newest is taken first.
                while kept and line.idle_since - kept[0].idle_since >= _IDLE_SECONDS:
                    stale.append(kept.pop(0))
                if not kept:
                    del self._idle[target]
        for old in stale:
            old.hang_up()


def _trust() -> ssl.SSLContext:
    """The system's certificate authorities, and the bundled ones for machines that have none."""
    context = ssl.create_default_context()
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context


def _failed(error: str, started: float) -> Reply:
    return Reply(None, error, None, None, _since(started))


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _unwelcome(status: int) -> str:
    if 300 <= status < 400:
        return f"answered {status}: redirects are not followed"
    return f"answered {status}"


def _explained(error: Exception) -> str:
    """What happened, without the URL: its path or query may be the receiver's secret."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the TLS certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'the connection broke off'}"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionError):
        return "the receiver closed the connection without an answer"
    return f"not an HTTP answer ({type(error).__name__})"


def _stored(content: bytes) -> str:
    """The beginning of an answer as text; PostgreSQL stores no NUL."""
    return content.decode("utf-8", "replace").replace("\x00", "")[:KEPT_CHARACTERS]
