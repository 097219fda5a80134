"""The services of one worker process, made at the first task and closed with the process."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tracker import bootstrap
from tracker.config import current

if TYPE_CHECKING:
    from tracker.scanning.backfill import Backfill
    from tracker.scanning.chain_scan import ChainScan
    from tracker.scanning.openings import WalletOpenings
    from tracker.scanning.senders import SenderEnrichment


@lru_cache(maxsize=1)
def services() -> bootstrap.Services:
    """What the tasks of this process share."""
    return bootstrap.build(current())


@lru_cache
def scan(chain: str) -> ChainScan:
    """The scan of a chain, with its watch set in memory."""
    return services().scan(chain)


@lru_cache
def openings(chain: str) -> WalletOpenings:
    """What opens a chain's wallets; remembers which no source can tell."""
    return services().openings(chain)


@lru_cache(maxsize=1)
def senders() -> SenderEnrichment:
    """What asks for hidden senders; remembers how often it asked in vain."""
    return services().senders()


@lru_cache
def backfill(chain: str) -> Backfill:
    """What reads a chain's ranges."""
    return services().backfill(chain)


def close() -> None:
    """Give the connections back."""
    if services.cache_info().currsize:
        services().database.dispose()
    for made in (services, scan, openings, senders, backfill):
        made.cache_clear()
