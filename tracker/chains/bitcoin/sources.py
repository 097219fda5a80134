"""From a source's spec in the settings to its adapter."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

from tracker.chains.bitcoin.core import CoreSource, read_cookie
from tracker.chains.bitcoin.esplora import EsploraSource
from tracker.chains.bitcoin.files import FilesSource
from tracker.chains.http import HttpClient
from tracker.chains.pool import SourcePool
from tracker.chains.port import BitcoinSource
from tracker.config import Settings
from tracker.errors import ConfigError

FIELD = "TRACKER_BITCOIN_SOURCES"


def open_source(spec: str, settings: Settings) -> BitcoinSource:
    """The adapter that `spec` names; nothing is connected yet.

    `esplora+https://host/api`, `core+http://user:pass@host:port` (or `?cookie=/path/.cookie`), or
    `files:/folder`. Raises `ConfigError`, without any credential in it.
    """
    kind, mark, url = spec.strip().partition("+")
    if spec.strip().startswith("files:"):
        folder = spec.strip().removeprefix("files:")
        if not folder:
            raise ConfigError(
                "a files source needs a folder", field=FIELD, value=spec,
                mend="write it as files:/folder/of/raw/blocks",
            )
        return FilesSource(Path(folder).expanduser())
    if mark and kind == "esplora":
        return EsploraSource(_client(url, settings))
    if mark and kind == "core":
        return _core(url, settings)
    raise ConfigError(
        "unknown kind of Bitcoin source", field=FIELD, value=kind.partition(":")[0],
        mend="use esplora+https://…, core+http://user:pass@host:port or files:/folder",
    )


def open_pool(settings: Settings) -> SourcePool:
    """All configured Bitcoin sources as one; raises `ConfigError` for a bad spec or for none."""
    return SourcePool(
        [open_source(spec, settings) for spec in settings.bitcoin_sources],
        network=settings.bitcoin_network,
    )


def _core(url: str, settings: Settings) -> CoreSource:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError(
            "not a URL", field=FIELD, mend="write it as core+http://user:pass@host:port"
        ) from None
    cookie = parse_qs(parts.query).get("cookie")
    bare = urlunsplit(parts._replace(query=""))

    def connect() -> HttpClient:
        return _client(bare, settings, read_cookie(cookie[0]) if cookie else None)

    return CoreSource(connect)


def _client(
    url: str, settings: Settings, auth: tuple[str, str] | None = None
) -> HttpClient:
    return HttpClient(
        url, timeout_seconds=settings.http_timeout_seconds, user_agent=settings.user_agent,
        field=FIELD, auth=auth,
    )
