"""The only place that wires: settings in, services out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING

from tracker import __version__
from tracker.config import Settings
from tracker.db import Database
from tracker.detection import disclosed_sales
from tracker.detection.news import NewsPolicy
from tracker.detection.withdraw import withdraw
from tracker.domain.entity import Role
from tracker.doorbell import CeleryDoorbell, Doorbell, Silent
from tracker.errors import ConfigError
from tracker.facts import repository as facts
from tracker.facts.sync import sync_facts
from tracker.log import get_logger
from tracker.operations import repository as operations
from tracker.operations.keys import ensure_admin_key
from tracker.registry import repository as registry
from tracker.registry.sync import sync_registry

if TYPE_CHECKING:
    from tracker.chains.pool import SourcePool
    from tracker.scanning.bitcoin import BitcoinScan

log = get_logger(__name__)


def system_clock() -> datetime:
    """The wall clock in UTC."""
    return datetime.now(UTC)


def database_url(settings: Settings) -> str:
    """The PostgreSQL to use: the configured one, else the embedded one that is running now.

    Raises `ConfigError` where there is neither.
    """
    return settings.database_url or _embedded(settings, "database_url", "TRACKER_DATABASE_URL")


def redis_url(settings: Settings) -> str:
    """The broker to use: the configured one, else the embedded one that is running now.

    Raises `ConfigError` where there is neither.
    """
    return settings.redis_url or _embedded(settings, "redis_url", "TRACKER_REDIS_URL")


def _embedded(settings: Settings, key: str, field_name: str) -> str:
    try:
        found = json.loads(settings.servers_file.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError):
        found = None
    if not isinstance(found, str):
        raise ConfigError(
            "no server is configured and no embedded one runs here",
            field=field_name,
            mend=f"start `tracker up` (it keeps its data in {settings.data_dir}), or set it",
        )
    return found


@dataclass
class Services:
    """Everything that a process of an installation works with."""

    settings: Settings
    database: Database
    doorbell: Doorbell
    clock: Callable[[], datetime] = field(default=system_clock)

    @cached_property
    def bitcoin_pool(self) -> SourcePool:
        """The Bitcoin sources of the settings, as one."""
        from tracker.chains.bitcoin.sources import open_pool

        return open_pool(self.settings)

    @cached_property
    def news(self) -> NewsPolicy:
        """What is news, and what history."""
        return NewsPolicy.of(self.settings)

    def bitcoin_scan(self) -> BitcoinScan:
        """A scan of the Bitcoin chain over these services."""
        from tracker.scanning.bitcoin import BitcoinScan

        return BitcoinScan(
            self.database, self.bitcoin_pool, self.settings, self.doorbell, self.clock
        )

    def save_bitcoin_sources(self) -> None:
        """Write the state of the Bitcoin sources, for `/v1/sources`."""
        with self.database.transaction() as session:
            for state in self.bitcoin_pool.states():
                operations.upsert_source(
                    session,
                    name=state.name,
                    kind=f"bitcoin_{state.kind}",
                    state=state.state,
                    now=self.clock(),
                    height=state.height,
                    latency_ms=state.latency_ms,
                    last_ok=state.last_ok,
                    last_error=state.last_error,
                    next_try=state.next_try,
                )

    def deliver_due(self) -> int:
        """POST the webhooks that are due; returns how many attempts were made."""
        from tracker.webhooks.deliver import deliver_due

        return deliver_due(self.database, self.settings, now=self.clock)

    def market_tick(self) -> None:
        """Ask every configured venue for its prices once."""
        from tracker.facts.market_tick import tick

        if self.settings.live_quotes:
            tick(self.database, self.settings, now=self.clock())

    def sync(self, *, even_if_unchanged: bool = False) -> bool:
        """Bring registry and facts to what this version ships, and the alerts with them.

        An unchanged bundle is known by its digest and left alone; returns whether it was read.
        """
        now = self.clock()
        digest = bundle_digest(self.settings.bitcoin_network)
        with self.database.transaction() as session:
            if not even_if_unchanged and operations.sync_mark(session, "bundle") == digest:
                return False
            registered = sync_registry(session, now=now, network=self.settings.bitcoin_network)
            stated = sync_facts(session, now=now)
            withdraw(
                session,
                registered.removal,
                why="the bundled registry no longer names the address",
                news=self.news,
                now=now,
            )
            operations.set_sync_mark(session, "bundle", digest, now)
        log.debug("synced", registry=str(registered), facts=str(stated))
        self.evaluate_disclosures()
        return True

    def evaluate_disclosures(self) -> int:
        """Bring every alert that rests on disclosures in line; returns how many changed."""
        with self.database.transaction() as session:
            reported = facts.entities_with_disclosures(session)
            holders = registry.list_entities(session, role=Role.HOLDER)
        changed = 0
        # A transaction each: the alerts of one holder never wait for the disclosures of another.
        for entity in holders:
            if entity.id not in reported:
                continue
            with self.database.transaction() as session:
                changed += disclosed_sales.evaluate(
                    session, entity, news=self.news, now=self.clock()
                )
        return changed


def bundle_digest(network: str) -> str:
    """SHA-256 over the network, the version and every bundled file: what a sync would write."""
    digest = hashlib.sha256(f"{network} {__version__}".encode())
    for package in ("tracker.registry", "tracker.facts"):
        folder = resources.files(package) / "bundled"
        for file in sorted(folder.iterdir(), key=lambda item: item.name):
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def build(settings: Settings) -> Services:
    """The services of this process; nothing is connected yet.

    Without a broker the doorbell is silent: the ticks do the work a little later.
    """
    doorbell: Doorbell
    try:
        doorbell = CeleryDoorbell(redis_url(settings))
    except ConfigError:
        doorbell = Silent()
    return Services(settings, Database(database_url(settings)), doorbell)


def first_start(settings: Settings) -> None:
    """What `tracker up` does before the workers start: the key, the bundled registry and facts."""
    services = build(settings)
    try:
        with services.database.transaction() as session:
            ensure_admin_key(settings, session, services.clock())
        services.sync()
    finally:
        services.database.dispose()
