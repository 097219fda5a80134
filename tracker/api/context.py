"""What every route works with: the wired services and a clock."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import Depends, Request

from tracker.config import Settings
from tracker.db import Database
from tracker.doorbell import Doorbell
from tracker.scanning.block_times import BitcoinBlocks, EthereumHeaders


class Services(Protocol):
    """The wired parts of one installation, as `tracker.bootstrap` builds them."""

    @property
    def settings(self) -> Settings:
        """The knobs of this process."""

    @property
    def database(self) -> Database:
        """The unit of work."""

    @property
    def doorbell(self) -> Doorbell:
        """Wakes the workers' queues."""

    @property
    def clock(self) -> Callable[[], datetime]:
        """Tells the time, UTC-aware."""

    @property
    def bitcoin_pool(self) -> BitcoinBlocks:
        """The Bitcoin sources, opened at the first use."""

    @property
    def ethereum_pool(self) -> EthereumHeaders:
        """The Ethereum sources, opened at the first use; `ConfigError` where there is none."""

    def sync(self, *, even_if_unchanged: bool = False) -> bool:
        """Bring the bundled registry and facts, and the alerts on them, up to date."""


@dataclass(frozen=True, slots=True)
class Context:
    """The services of this process, as requests see them."""

    services: Services

    @property
    def settings(self) -> Settings:
        """The knobs of this process."""
        return self.services.settings

    @property
    def database(self) -> Database:
        """The unit of work."""
        return self.services.database

    def now(self) -> datetime:
        """This instant, UTC."""
        return self.services.clock()


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, can only be this machine."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Ctx = Annotated[Context, Depends(_context)]
