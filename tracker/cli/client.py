"""The local HTTP API as the command line sees it: one session, bounded replies, clear errors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import requests

from tracker.config import Settings
from tracker.errors import ConfigError, ReplyError, SourceUnavailableError, TrackerError

_TIMEOUT = (3.0, 60.0)  # seconds to connect, seconds between two bytes
# Twice the API's keep-alive: a stream that is silent for longer is dead.
_STREAM_TIMEOUT = (3.0, 40.0)
_MAX_REPLY = 64_000_000  # bytes; an exported label pack is the largest reply
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - read, not bound

Json = dict[str, Any]


class ApiError(TrackerError):
    """The API refused; it carries the API's own words, code and status."""

    def __init__(self, problem: Mapping[str, Any], status: int) -> None:
        super().__init__(
            str(problem.get("detail") or f"the service answered {status}"),
            field=problem.get("field"),
            value=problem.get("value"),
            mend=problem.get("mend"),
        )
        self.http_status = status

    @property
    def input_error(self) -> bool:
        """Whether what was sent is at fault, so that sending it again cannot help."""
        return 400 <= self.http_status < 500


class ApiClient:
    """Calls the service that `settings` (or `TRACKER_API_URL`) name, with the local bearer key."""

    def __init__(self, settings: Settings) -> None:
        self.base_url = base_url(settings)
        self._key_file = settings.key_file
        self._session = requests.Session()
        # A proxy from the environment must not see the key, nor stand before a loopback service.
        self._session.trust_env = False

    def get(self, path: str, **params: Any) -> Any:
        """The JSON at `path`; parameters that are None are left out."""
        return self._json("GET", path, params=params)

    def post(self, path: str, body: Any = None, **params: Any) -> Any:
        """The JSON that answers a POST of `body` as JSON."""
        return self._json("POST", path, params=params, body=body)

    def patch(self, path: str, body: Any) -> Any:
        """The JSON that answers a PATCH of `body` as JSON."""
        return self._json("PATCH", path, body=body)

    def delete(self, path: str) -> Any:
        """The JSON that answers a DELETE, None where it answers nothing."""
        return self._json("DELETE", path)

    def upload(self, path: str, content: bytes, media_type: str, **params: Any) -> Any:
        """The JSON that answers a POST of a file's bytes."""
        return self._json("POST", path, params=params, raw=content, media_type=media_type)

    def download(self, path: str, **params: Any) -> bytes:
        """The bytes at `path`."""
        return self._send("GET", path, params=params)

    def all_items(self, path: str, *, limit: int | None = None, **params: Any) -> Json:
        """A list with all its pages joined, `limit` items at most: the API's own shape."""
        items: list[Any] = []
        cursor: str | None = None
        while True:
            room = 500 if limit is None else min(500, limit - len(items))
            page = self.get(path, limit=room, cursor=cursor, **params)
            items += page["items"]
            cursor = page["next"]
            if cursor is None or (limit is not None and len(items) >= limit):
                return {"items": items, "next": cursor}

    def events(self, after: int | None = None) -> Iterator[Json]:
        """Events as they are published, for ever; raises when the stream breaks."""
        headers = self._headers() | {"Accept": "text/event-stream"}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        try:
            with self._session.get(
                self.base_url + "/v1/events/stream",
                headers=headers,
                stream=True,
                timeout=_STREAM_TIMEOUT,
                allow_redirects=False,
            ) as reply:
                if reply.status_code != requests.codes.ok:
                    raise _refused(reply.status_code, reply.content)
                for line in reply.iter_lines(chunk_size=None):
                    if line.startswith(b"data:"):
                        yield json.loads(line[5:])
        except requests.RequestException as error:
            raise self._silent(error) from error

    def _json(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        raw: bytes | None = None,
        media_type: str = "application/json",
    ) -> Any:
        content = json.dumps(body).encode() if body is not None else raw
        reply = self._send(method, path, params=params, content=content, media_type=media_type)
        if not reply:
            return None
        try:
            return json.loads(reply)
        except ValueError as error:
            raise ReplyError(
                "what answers there is not the tracker",
                field="TRACKER_API_URL",
                value=self.base_url,
                mend="set TRACKER_PORT, or TRACKER_API_URL, to the tracker's address",
            ) from error

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        media_type: str = "application/json",
    ) -> bytes:
        headers = self._headers()
        if content is not None:
            headers["Content-Type"] = media_type
        try:
            with self._session.request(
                method,
                self.base_url + path,
                params={k: v for k, v in (params or {}).items() if v is not None},
                data=content,
                headers=headers,
                timeout=_TIMEOUT,
                stream=True,
                allow_redirects=False,
            ) as reply:
                found = _bounded(reply)
        except requests.RequestException as error:
            raise self._silent(error) from error
        if reply.status_code >= requests.codes.bad_request:
            raise _refused(reply.status_code, found)
        return found

    def _headers(self) -> dict[str, str]:
        key = os.environ.get("TRACKER_API_KEY", "").strip() or self._local_key()
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _local_key(self) -> str | None:
        try:
            return self._key_file.read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            return None  # another user's file: reads are open on loopback, a write will say 401

    def _silent(self, error: requests.RequestException) -> SourceUnavailableError:
        if isinstance(error, requests.ReadTimeout):
            return SourceUnavailableError(
                f"the service at {self.base_url} took too long", mend="see `tracker doctor`"
            )
        return SourceUnavailableError(
            f"the service does not answer at {self.base_url}",
            mend="start it with `tracker up`, or name its address by TRACKER_API_URL",
        )


def base_url(settings: Settings) -> str:
    """Where the API is: `TRACKER_API_URL`, else the settings' host and port."""
    given = os.environ.get("TRACKER_API_URL", "").strip().rstrip("/")
    if given:
        if not given.startswith(("http://", "https://")) or "@" in given:
            raise ConfigError(
                "not the address of an API",
                field="TRACKER_API_URL",
                mend="write http://host:port, without a name or password",
            )
        return given
    host = _ANY_ADDRESS.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def segment(text: str) -> str:
    """`text` as one segment of a path."""
    return quote(text, safe="")


def _bounded(reply: requests.Response) -> bytes:
    chunks: list[bytes] = []
    size = 0
    for chunk in reply.iter_content(65_536):
        size += len(chunk)
        if size > _MAX_REPLY:
            raise ReplyError(f"the reply is larger than {_MAX_REPLY} bytes", field="reply")
        chunks.append(chunk)
    return b"".join(chunks)


def _refused(status: int, content: bytes) -> TrackerError:
    try:
        problem = json.loads(content)
    except ValueError:
        problem = {}
    return ApiError(problem if isinstance(problem, dict) else {}, status)
