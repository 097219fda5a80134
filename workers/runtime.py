"""The services of one worker process, made at the first task and closed with the process."""

from __future__ import annotations

from functools import lru_cache

from tracker import bootstrap
from tracker.config import current
from tracker.scanning.bitcoin import BitcoinScan


@lru_cache(maxsize=1)
def services() -> bootstrap.Services:
    """What the tasks of this process share."""
    return bootstrap.build(current())


@lru_cache(maxsize=1)
def bitcoin_scan() -> BitcoinScan:
    """The scan of this process, with its watch set in memory."""
    return services().bitcoin_scan()


def close() -> None:
    """Give the connections back."""
    if services.cache_info().currsize:
        services().database.dispose()
    services.cache_clear()
    bitcoin_scan.cache_clear()
