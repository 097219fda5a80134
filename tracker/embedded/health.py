"""What the API says about itself: ready or not, and the state of each source."""

from __future__ import annotations

import http.client
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from tracker.config import Settings

_TIMEOUT_SECONDS = 2.0
_MAX_BYTES = 1_000_000
_MAX_TEXT = 120
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104  not bound here


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """One source as `/v1/sources` states it, trimmed for a status line."""

    name: str
    state: str
    height: int | None
    last_error: str | None
    next_try: str | None


@dataclass(frozen=True, slots=True)
class Health:
    """`sources` is None where the API did not say, with the reason in `reason`."""

    ready: bool
    sources: tuple[SourceHealth, ...] | None
    reason: str | None


class HealthProbe:
    """Asks the API of this machine, each question within two seconds and a megabyte."""

    def __init__(self, settings: Settings) -> None:
        self._host = _EVERY_ADDRESS.get(settings.host, settings.host)
        self._port = settings.port
        self._settings = settings

    @property
    def address(self) -> str:
        """The URL at which this machine reaches the API and the page."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def look(self) -> Health:
        """The health now; an API that does not answer is simply not ready."""
        try:
            status, _body = self._get("/readyz")
            if status != http.client.OK:
                return Health(False, None, f"/readyz answers {status}")
            status, body = self._get("/v1/sources")
            if status != http.client.OK:
                return Health(True, None, f"/v1/sources answers {status}")
            return Health(True, _sources(body), None)
        except (OSError, http.client.HTTPException) as error:
            return Health(False, None, _plain(str(error)))
        except (ValueError, KeyError, TypeError):
            return Health(True, None, "/v1/sources is not understood")

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("GET", path, headers=self._headers())
            reply = connection.getresponse()
            return reply.status, reply.read(_MAX_BYTES)
        finally:
            connection.close()

    def _headers(self) -> Mapping[str, str]:
        """The bearer key only where reads ask for it: a key not sent cannot leak."""
        key_file = self._settings.key_file
        if not self._settings.api_keys_required_for_reads or not key_file.exists():
            return {}
        return {"Authorization": f"Bearer {key_file.read_text('ascii').strip()}"}


def _sources(body: bytes) -> tuple[SourceHealth, ...]:
    return tuple(
        SourceHealth(
            name=_plain(str(item["name"])),
            state=_plain(str(item["state"])),
            height=None if item.get("height") is None else int(item["height"]),
            last_error=_sentence(item.get("last_error")),
            next_try=_optional(item.get("next_try")),
        )
        for item in json.loads(body)["items"]
    )


def _optional(value: object) -> str | None:
    return None if value is None else _plain(str(value))


def _sentence(error: object) -> str | None:
    """An error without its field, value and mend, which `tracker sources` shows in full."""
    return None if error is None else _plain(str(error).partition("; field: ")[0])


def _plain(text: str) -> str:
    """One short line without control characters: it goes to a terminal."""
    kept = "".join(" " if unicodedata.category(char)[0] == "C" else char for char in text)
    return kept if len(kept) <= _MAX_TEXT else kept[: _MAX_TEXT - 1] + "…"
