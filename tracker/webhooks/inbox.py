"""A receiver of webhooks on 127.0.0.1: what `tracker listen` runs, and an example of one."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import requests

from tracker import signing
from tracker.errors import ConfigError, InputError, TrackerError

MAX_BODY = 1_000_000  # bytes; the tracker sends less than 20 kB
_LENGTH = re.compile(r"[0-9]{1,12}")
_READ_SECONDS = 10.0
_FORWARD_SECONDS = 15.0
# What is handed on unchanged, so that the handler can verify the signature itself.
_FORWARDED = (
    "content-type",
    "user-agent",
    signing.HEADER_ID,
    signing.HEADER_TIMESTAMP,
    signing.HEADER_SIGNATURE,
    "tracker-sequence",
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that came: verified with its event, or refused with the reason."""

    at: datetime
    event_id: str | None
    sequence: str | None
    event: dict[str, Any] | None
    refused: str | None = None
    forwarded: str | None = None


class Inbox:
    """A server that verifies each webhook, answers, shows it and forwards it.

    204 for a verified event, 401 for a wrong signature, 400, 411 or 413 for what is no webhook.
    It answers before it forwards, so that a slow handler does not make the sender try again.
    Raises `ConfigError` when the port is taken.
    """

    def __init__(
        self,
        port: int,
        secrets: list[str],
        *,
        show: Callable[[Arrival], None],
        forward_to: str | None = None,
        once: bool = False,
    ) -> None:
        self._secrets = list(secrets)
        self._show = show
        self._forward_to = forward_to
        self._once = once
        self._complete = False  # `once`, and that one has been shown
        # Answered but not shown yet: the end waits for these.
        self._answered = 0
        self._showing = threading.Condition()
        self.done = threading.Event()
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        except OSError as error:
            raise ConfigError(
                f"cannot listen: {error.strerror}",
                field="--port",
                value=port,
                mend="choose another port, or leave --port out",
            ) from None
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def host(self) -> str:
        """`127.0.0.1:port`, as `allow_hosts` wants it."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """Where to send webhooks."""
        return f"http://{self.host}/"

    def trust(self, secret: str) -> None:
        """Accept signatures of this secret from now on."""
        self._secrets.append(secret)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        with self._showing:
            self._showing.wait_for(lambda: self._answered == 0, timeout=_FORWARD_SECONDS)
        self._server.server_close()
        self._thread.join()

    def receive(self, headers: dict[str, str], body: bytes) -> tuple[int, Arrival]:
        """The status to answer and what to show, for one POST."""
        now = datetime.now(UTC)
        event_id, sequence = headers.get(signing.HEADER_ID), headers.get("tracker-sequence")
        try:
            signing.verify(self._secrets, headers, body, now)
            event = json.loads(body)
        except TrackerError as error:
            return 401, Arrival(now, event_id, sequence, None, refused=str(error))
        except ValueError:
            return 400, Arrival(now, event_id, sequence, None, refused="the body is not JSON")
        if not isinstance(event, dict):
            return 400, Arrival(now, event_id, sequence, None, refused="the body is no object")
        return 204, Arrival(now, event_id, sequence, event)

    @contextmanager
    def to_be_shown(self) -> Iterator[None]:
        """Keep the inbox from ending between an answer and the showing of what it was about."""
        with self._showing:
            self._answered += 1
        try:
            yield
        finally:
            with self._showing:
                self._answered -= 1
                self._showing.notify_all()

    def finish(self, arrival: Arrival, headers: dict[str, str], body: bytes) -> None:
        """After the answer: forward what was verified, show it, end if that was asked."""
        verified = arrival.refused is None
        if verified and self._forward_to is not None:
            arrival = Arrival(
                arrival.at,
                arrival.event_id,
                arrival.sequence,
                arrival.event,
                forwarded=_forward(self._forward_to, headers, body),
            )
        with self._showing:
            if self._complete:
                return
            self._show(arrival)
            if verified and self._once:
                self._complete = True
                self.done.set()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = _READ_SECONDS

            def do_POST(self) -> None:
                length = self.headers.get("Content-Length", "")
                if not _LENGTH.fullmatch(length):
                    self._answer(411)
                    return
                if int(length) > MAX_BODY:
                    self._answer(413)
                    return
                body = self.rfile.read(int(length))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, arrival = inbox.receive(headers, body)
                with inbox.to_be_shown():
                    self._answer(status)
                    inbox.finish(arrival, headers, body)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                if status != requests.codes.no_content:
                    self.send_header("Content-Length", "0")
                if status in (411, 413):
                    self.close_connection = True
                    self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.flush()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Silent: what arrives is shown, in the form that was asked for."""

        return Handler


def check_forward(url: str) -> str:
    """`url` itself; raises `InputError` unless it is an http(s) URL without credentials."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise InputError(
            "not a URL to forward to", field="--forward-to", mend="write http://host[:port]/path"
        )
    return url


def _forward(url: str, headers: dict[str, str], body: bytes) -> str:
    """What the user's own handler said: its status, or why there is none."""
    session = requests.Session()
    session.trust_env = False
    try:
        with session.post(
            url,
            data=body,
            headers={name: headers[name] for name in _FORWARDED if name in headers},
            timeout=_FORWARD_SECONDS,
            allow_redirects=False,
            stream=True,
        ) as reply:
            return str(reply.status_code)
    except requests.RequestException as error:
        return f"failed ({type(error).__name__})"
