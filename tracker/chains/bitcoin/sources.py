"""From a source's spec in the settings to its adapter."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

from tracker.chains.bitcoin.core import CoreSource, read_cookie
from tracker.chains.bitcoin.esplora import EsploraSource
from tracker.chains.bitcoin.files import FilesSource
from tracker.chains.http import HttpClient
from tracker.chains.pool import BitcoinPool
from tracker.chains.port import BitcoinSource
from tracker.config import Settings
from tracker.errors import ConfigError

FIELD = "TRACKER_BITCOIN_SOURCES"
# A node reads its whole set of unspent outputs for a snapshot: minutes on mainnet.
SNAPSHOT_SECONDS = 1800.0


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
        return EsploraSource(_client(url, settings), checks=settings.bitcoin_checks)
    if mark and kind == "core":
        return _core(url, settings)
    raise ConfigError(
        "unknown kind of Bitcoin source", field=FIELD, value=kind.partition(":")[0],
        mend="use esplora+https://…, core+http://user:pass@host:port or files:/folder",
    )


def open_pool(settings: Settings) -> BitcoinPool:
    """All configured Bitcoin sources as one; raises `ConfigError` for a bad spec or for none."""
    return BitcoinPool(
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

    def connect(seconds: float = settings.http_timeout_seconds) -> HttpClient:
        auth = read_cookie(cookie[0]) if cookie else None
        return _client(bare, settings, auth, seconds)

    return CoreSource(connect, patient=partial(connect, SNAPSHOT_SECONDS))


def _client(
    url: str, settings: Settings, auth: tuple[str, str] | None = None,
    seconds: float | None = None,
) -> HttpClient:
    return HttpClient(
        url, timeout_seconds=seconds or settings.http_timeout_seconds,
        user_agent=settings.user_agent, field=FIELD, auth=auth,
    )
