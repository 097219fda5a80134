"""The only place that wires: settings in, services out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
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
from tracker.errors import ConfigError, TrackerError
from tracker.facts import repository as facts
from tracker.facts.sync import sync_facts
from tracker.log import get_logger
from tracker.operations import repository as operations
from tracker.operations.keys import ensure_admin_key
from tracker.registry import repository as registry
from tracker.registry.sync import sync_registry

if TYPE_CHECKING:
    from tracker.chains.ethereum.beacon import BeaconClient
    from tracker.chains.ethereum.pool import EthereumPool
    from tracker.chains.pool import BitcoinPool
    from tracker.reconciliation.bitcoin import BitcoinReconcile
    from tracker.reconciliation.ethereum import EthereumReconcile
    from tracker.scanning.backfill import Backfill
    from tracker.scanning.chain_scan import ChainScan
    from tracker.scanning.openings import WalletOpenings
    from tracker.scanning.senders import SenderEnrichment

log = get_logger(__name__)

_FORGET_AFTER = timedelta(days=1)  # a source that left the settings


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
    def bitcoin_pool(self) -> BitcoinPool:
        """The Bitcoin sources of the settings, as one."""
        from tracker.chains.bitcoin.sources import open_pool

        return open_pool(self.settings)

    @cached_property
    def news(self) -> NewsPolicy:
        """What is news, and what history."""
        return NewsPolicy.of(self.settings)

    @cached_property
    def ethereum_pool(self) -> EthereumPool:
        """The Ethereum sources of the settings, as one; `ConfigError` where there is none."""
        from tracker.chains.ethereum.pool import open_pool

        return open_pool(self.settings)

    @cached_property
    def beacon(self) -> BeaconClient | None:
        """The consensus client's API; None where none is configured."""
        from tracker.chains.ethereum.sources import open_beacon

        return open_beacon(self.settings)

    @property
    def chains(self) -> tuple[str, ...]:
        """The chains for which a source is configured."""
        configured = {
            "bitcoin": self.settings.bitcoin_sources,
            "ethereum": self.settings.ethereum_rpc_urls,
        }
        return tuple(chain for chain, sources in configured.items() if sources)

    def scan(self, chain: str) -> ChainScan:
        """A scan of a chain over these services."""
        if chain == "ethereum":
            from tracker.scanning.ethereum import EthereumScan

            return EthereumScan(
                self.database, self.ethereum_pool, self.settings, self.doorbell, self.clock
            )
        from tracker.scanning.bitcoin import BitcoinScan

        return BitcoinScan(
            self.database, self.bitcoin_pool, self.settings, self.doorbell, self.clock
        )

    def openings(self, chain: str) -> WalletOpenings:
        """What takes the openings of new wallets on a chain."""
        if chain == "ethereum":
            from tracker.scanning.ethereum_openings import EthereumOpenings

            return EthereumOpenings(self.database, self.ethereum_pool)
        from tracker.scanning.bitcoin_openings import BitcoinOpenings

        return BitcoinOpenings(self.database, self.bitcoin_pool, self.clock)

    def senders(self) -> SenderEnrichment:
        """What asks for the senders that Bitcoin's blocks do not reveal."""
        from tracker.scanning.senders import SenderEnrichment

        return SenderEnrichment(self.database, self.bitcoin_pool)

    def backfill(self, chain: str) -> Backfill:
        """What reads the ranges of a chain that were asked for."""
        if chain == "ethereum":
            from tracker.scanning.ethereum_backfill import EthereumBackfill

            return EthereumBackfill(self.database, self.ethereum_pool, self.settings, self.clock)
        from tracker.scanning.bitcoin_backfill import BitcoinBackfill

        return BitcoinBackfill(self.database, self.bitcoin_pool, self.settings, self.clock)

    def reconcile(self) -> bool:
        """Probe what was asked for and what is due; returns whether more is due at once."""
        from tracker.reconciliation.asked.answering import answer_requests

        ticks = {chain: self.reconciliation(chain).tick for chain in self.chains}
        answer_requests(self.database, ticks, self.clock)
        more = False
        for chain, tick in ticks.items():
            try:
                more = tick().more or more
            except TrackerError as error:
                log.warning("reconcile_waits", chain=chain, error=str(error))
        if "ethereum" in self.chains:
            more = self._read_late_records() or more
        return more

    def reconciliation(self, chain: str) -> EthereumReconcile | BitcoinReconcile:
        """What compares a chain's ledger with its balances."""
        if chain == "ethereum":
            from tracker.reconciliation.ethereum import EthereumReconcile

            return EthereumReconcile(self.database, self.ethereum_pool, self.clock)
        from tracker.reconciliation.bitcoin import BitcoinReconcile

        return BitcoinReconcile(self.database, self.bitcoin_pool, self.clock)

    def _read_late_records(self) -> bool:
        """Traces that came late, staked ether and protocol rates; returns whether more is due."""
        from tracker.facts.rates.tick import RatesTick
        from tracker.reconciliation.late_traces import LateTraces
        from tracker.reconciliation.staking import StakingTick

        nodes = self.ethereum_pool
        staking = StakingTick(self.database, nodes, self.beacon, self.clock)
        ticks: tuple[Callable[[], object], ...] = (
            LateTraces(self.database, nodes, self.clock).tick,
            staking.tick,
            RatesTick(self.database, nodes, self.clock).tick,
        )
        more = False
        for tick in ticks:
            try:
                more = bool(getattr(tick(), "more", False)) or more
            except TrackerError as error:
                log.warning("late_records_wait", chain="ethereum", error=str(error))
        return more

    def save_sources(self, chain: str) -> None:
        """Write the state of a chain's sources, for `/v1/sources`."""
        pool = self.ethereum_pool if chain == "ethereum" else self.bitcoin_pool
        with self.database.transaction() as session:
            operations.forget_sources(session, f"{chain}_", self.clock() - _FORGET_AFTER)
            for state in pool.states():
                operations.upsert_source(
                    session,
                    name=state.name,
                    kind=f"{chain}_{state.kind}",
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
