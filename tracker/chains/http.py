"""A small HTTP client for sources: bounded in size and time, no redirects to other hosts.

Credentials are taken out of the URL at once and live only in the session, never in a name, a log
line or an error text.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import RemoteDisconnected
from urllib.parse import unquote, urljoin, urlsplit

import requests
import urllib3

from tracker.chains.port import SlowDownError
from tracker.chains.transport import DeadlineAdapter
from tracker.errors import ConfigError, ReplyError, SourceUnavailableError

_MAX_REDIRECTS = 3
_CHUNK_BYTES = 65_536
_MAX_RETRY_AFTER_SECONDS = 3600.0
# Providers put the customer's key into the path: a long part with digits in it is taken for one.
_KEY_IN_PATH = re.compile(r"(?<=/)(?=[^/]*[0-9])[^/]{16,}")


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: the status, the body within its bound, and its Retry-After in seconds."""

    status: int
    body: bytes
    retry_after: float | None = None

    @property
    def text(self) -> str:
        """The body as text, stray bytes replaced."""
        return self.body.decode("utf-8", "replace").strip()


class HttpClient:
    """One base URL, one session. `name` is the URL without credentials or a key in its path.

    The timeout is the total of one question: resolving, connecting, headers, body, redirects.
    """

    def __init__(
        self, url: str, *, timeout_seconds: float, user_agent: str, field: str,
        auth: tuple[str, str] | None = None,
    ) -> None:
        """Raise `ConfigError`, naming `field`, for a URL that is not http or https with a host."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.query or parts.fragment:
            raise ConfigError(
                "the URL has a part that is not used, behind ? or #", field=field,
                value=f"{parts.scheme}://{parts.hostname or ''}",
                mend="give the address where the API begins; a key belongs in the path or before @",
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                "not an http or https URL", field=field,
                value=f"{parts.scheme}://{parts.hostname or ''}",
                mend="give scheme, host and, where needed, port, as in https://host:port/path",
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        origin = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
        self._base = origin + parts.path.rstrip("/")
        self.name = origin + _KEY_IN_PATH.sub(_shortened, parts.path.rstrip("/"))
        self._origin = (parts.scheme, parts.hostname, port)
        self._timeout = timeout_seconds
        self._session = requests.Session()
        self._session.mount("http://", DeadlineAdapter())
        self._session.mount("https://", DeadlineAdapter())
        self._session.headers["User-Agent"] = user_agent
        # Its decoder stops at the bound given to a read, so that a small bomb stays small.
        self._session.headers["Accept-Encoding"] = "gzip"
        if auth is not None:
            self._session.auth = auth
        elif parts.username is not None:
            self._session.auth = (unquote(parts.username), unquote(parts.password or ""))

    def get(self, path: str, *, limit: int) -> Reply:
        """The answer to GET `path`, of at most `limit` bytes.

        Raises `SlowDownError` (429), `SourceUnavailableError` (not reached, too slow, 5xx) and
        `ReplyError` (too long when unpacked, a redirect to another host).
        """
        return self._send("GET", path, limit=limit)

    def post(
        self, path: str, data: bytes, *, limit: int, headers: Mapping[str, str],
        pass_5xx: bool = False,
    ) -> Reply:
        """The answer to POST `path`, as `get`; `pass_5xx` where a failure says why in its body."""
        return self._send("POST", path, limit=limit, data=data, headers=headers, pass_5xx=pass_5xx)

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()

    def _send(
        self, method: str, path: str, *, limit: int, data: bytes | None = None,
        headers: Mapping[str, str] | None = None, pass_5xx: bool = False,
    ) -> Reply:
        deadline = time.monotonic() + self._timeout
        url = self._base + path
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                with self._ask(method, url, data, dict(headers or {}), deadline) as response:
                    target = response.headers.get("Location")
                    if response.is_redirect and target:
                        url = self._same_host(urljoin(url, target))
                        continue
                    status = response.status_code
                    if status == 429 or (status >= 500 and not pass_5xx):
                        raise self._refused(response)
                    wait = retry_after(response.headers.get("Retry-After"))
                    return Reply(status, self._read(response, limit, deadline), wait)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # The text of these errors may hold the whole URL, so only their kind is told.
            if _is_read_timeout(error):
                raise self._too_slow() from None
            raise SourceUnavailableError(
                f"{self.name} cannot be reached: {_kind(error)}", field="source", value=self.name,
                mend="check the network and the address; it is tried again by itself",
            ) from None
        raise ReplyError(
            f"{self.name} redirects in a circle", field="source", value=self.name,
            mend="give the URL that answers directly",
        )

    def _ask(
        self, method: str, url: str, data: bytes | None, headers: dict[str, str], deadline: float
    ) -> requests.Response:
        """The answer, its body still to be read.

        A server may close a kept connection just as it is used again: every question is a reading
        one, so it is asked once more, on a new connection.
        """
        for again in (True, False):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                return self._session.request(
                    method, url, data=data, headers=headers, stream=True, timeout=left,
                    allow_redirects=False,
                )
            except requests.ConnectionError as error:
                if not (again and _hung_up(error)):
                    raise
        raise self._too_slow()

    def _too_slow(self) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"{self.name} took longer than {self._timeout:g} seconds", field="source",
            value=self.name, mend="raise TRACKER_HTTP_TIMEOUT_SECONDS, or add a source",
        )

    def _same_host(self, url: str) -> str:
        parts = urlsplit(url)
        if (parts.scheme, parts.hostname, parts.port) != self._origin:
            raise ReplyError(
                f"{self.name} redirects to another host", field="source",
                value=f"{parts.scheme}://{parts.hostname}",
                mend="give the URL that answers directly, if you trust that host",
            )
        return url

    def _refused(self, response: requests.Response) -> SourceUnavailableError:
        wait = retry_after(response.headers.get("Retry-After"))
        if response.status_code == 429:
            return SlowDownError(
                f"{self.name} asks to slow down", retry_after=wait, field="status", value=429,
                mend="add a source, or one of your own",
            )
        return SourceUnavailableError(
            f"{self.name} is out of order", retry_after=wait, field="status",
            value=response.status_code, mend="it is tried again by itself",
        )

    def _read(self, response: requests.Response, limit: int, deadline: float) -> bytes:
        chunks: list[bytes] = []
        size = 0
        # read1 returns what has arrived, at most so much of it unpacked.
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            size += len(chunk)
            if size > limit:
                raise ReplyError(
                    f"{self.name} sent more than {limit} bytes", field="source", value=self.name,
                    mend="check that the URL leads to the API itself",
                )
            if time.monotonic() > deadline:
                raise self._too_slow()
            chunks.append(chunk)
        length = response.headers.get("Content-Length", "")
        encoded = response.headers.get("Content-Encoding")
        if length.isdigit() and not encoded and size < int(length):
            raise SourceUnavailableError(
                f"{self.name} broke off in the middle", field="source",
                value=f"{size} of {length} bytes", mend="it is tried again by itself",
            )
        return b"".join(chunks)


def _shortened(key: re.Match[str]) -> str:
    """Enough of a key to tell two sources apart, too little to use it."""
    return f"…{key[0][-4:]}"


def _kind(error: Exception) -> str:
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)):
        return "timed out"
    if isinstance(error, requests.exceptions.SSLError):
        return "its TLS certificate or handshake was refused"
    if isinstance(error, (requests.ConnectionError, ConnectionError)):
        return "no connection"
    return type(error).__name__


def _is_read_timeout(error: Exception) -> bool:
    """Whether the time ran out after the connection stood."""
    if isinstance(error, requests.ConnectTimeout):
        return False
    return isinstance(
        error, (requests.Timeout, urllib3.exceptions.ReadTimeoutError, TimeoutError)
    )


def _hung_up(error: requests.ConnectionError) -> bool:
    """Whether the other side closed the connection without a word."""
    cause = error.args[0] if error.args else None
    return isinstance(cause, urllib3.exceptions.ProtocolError) and any(
        isinstance(part, (RemoteDisconnected, ConnectionResetError, BrokenPipeError))
        for part in cause.args
    )


def retry_after(value: str | None) -> float | None:
    """Seconds to wait (RFC 9110, 10.2.3: a number or a date), within an hour; None if unsaid."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _MAX_RETRY_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a year or a zone of twenty digits overflows
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), _MAX_RETRY_AFTER_SECONDS)
