"""From the settings to Ethereum adapters; nothing is connected here."""

from __future__ import annotations

from tracker.chains.ethereum.beacon import BeaconClient
from tracker.chains.ethereum.rpc import RpcClient
from tracker.chains.ethereum.source import RpcSource
from tracker.chains.http import HttpClient
from tracker.chains.port import EthereumSource
from tracker.config import Settings

FIELD = "TRACKER_ETHEREUM_RPC_URLS"
BEACON_FIELD = "TRACKER_BEACON_URL"


def open_source(url: str, settings: Settings) -> RpcSource:
    """The adapter over the JSON-RPC endpoint at `url`; raises `ConfigError`, without credentials.

    A key stands in the path, or before an @; it shows in no name, log or error.
    """
    return RpcSource(
        RpcClient(_client(url, settings, FIELD)), chain_id=settings.ethereum_chain_id,
        verify=settings.ethereum_checks == "full", traces=settings.ethereum_traces == "auto",
    )


def open_sources(settings: Settings) -> list[EthereumSource]:
    """All configured Ethereum sources, best first; none where the setting is empty."""
    return [open_source(url, settings) for url in settings.ethereum_rpc_urls]


def open_beacon(settings: Settings) -> BeaconClient | None:
    """The Beacon API client; None where none is configured. Raises `ConfigError`."""
    if not settings.beacon_url:
        return None
    return BeaconClient(_client(settings.beacon_url, settings, BEACON_FIELD))


def _client(url: str, settings: Settings, field: str) -> HttpClient:
    return HttpClient(
        url, timeout_seconds=settings.http_timeout_seconds, user_agent=settings.user_agent,
        field=field,
    )
