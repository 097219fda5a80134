"""A small world on an account chain: one anvil node, two holders, an exchange, a clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from sqlmodel import select

from tests.anvil import Anvil
from tracker.chains.ethereum.address import checksummed
from tracker.chains.ethereum.assets import MAINNET, AssetTable
from tracker.chains.ethereum.pool import EthereumPool, open_pool
from tracker.config import Settings
from tracker.db import Database
from tracker.db.alerts import Alert
from tracker.db.chain import Balance, Block, Movement, Transfer
from tracker.db.events import Event
from tracker.db.reconciliation import Discrepancy
from tracker.db.registry import Entity, Label, LabelPack, Wallet
from tracker.doorbell import Silent
from tracker.registry import repository as registry
from tracker.scanning.chain_scan import TickReport
from tracker.scanning.ethereum import EthereumScan
from tracker.scanning.ethereum_openings import EthereumOpenings
from tracker.scanning.openings import OpeningReport

ETHER = 10**18
CHAIN = "ethereum"


def key_of(address: str) -> bytes:
    """The 20 bytes of an address."""
    return bytes.fromhex(address[2:])


@dataclass
class AccountScene:
    """The holder `acme` owns the node's accounts 1 and 2, `rival` account 3; 9 is the exchange."""

    url: str
    node: Anvil
    rpc_urls: Sequence[str] = ()
    late: timedelta = timedelta(seconds=30)
    assets: AssetTable = MAINNET
    options: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # An impersonated sender has no signature: such a block would not verify.
        self.node.rpc("anvil_autoImpersonateAccount", False)
        self.treasury, self.second, self.rival = self.node.accounts[1:4]
        self.stranger, self.exchange = self.node.accounts[8], self.node.accounts[9]
        self.settings = Settings(
            database_url=self.url,
            ethereum_chain_id=self.node.chain_id,
            ethereum_rpc_urls=tuple(self.rpc_urls or (self.node.url,)),
            **{"ethereum_start_height": 0, "ethereum_max_blocks_per_tick": 2000, **self.options},
        )
        self.database = Database(self.url)
        self._populate()
        self.pool = open_pool(self.settings)
        self.scan = self.new_scan()
        self.openings = EthereumOpenings(self.database, self.pool, self.assets)

    def now(self) -> datetime:
        """A little after the tip's time: what happens there is news."""
        return datetime.fromtimestamp(int(self.node.block()["timestamp"], 16), UTC) + self.late

    def new_scan(self, pool: EthereumPool | None = None) -> EthereumScan:
        """A scan as a fresh worker process would have it."""
        return EthereumScan(
            self.database,
            pool or open_pool(self.settings),
            self.settings,
            Silent(),
            self.now,
            self.assets,
        )

    def tick(self) -> TickReport:
        """Scan to the tip."""
        return self.scan.tick()

    def open(self) -> OpeningReport:
        """Take the openings that are waited for."""
        return self.openings.tick()

    def watch(self, address: str, slug: str = "acme", **more: object) -> None:
        """A new wallet of a holder, as the registry would add it."""
        with self.database.transaction() as session:
            entity = registry.get_entity(session, slug)
            registry.bump_watch_set(session, CHAIN)
            session.add(
                Wallet(
                    **{
                        "entity_id": entity.id,
                        "chain": CHAIN,
                        "address": checksummed(key_of(address)),
                        "key": key_of(address),
                        "role": "treasury",
                        "tier": "attested",
                        "active_from_height": registry.next_height(session, CHAIN),
                        "recorded_at": self.now(),
                        **more,
                    }
                )
            )

    def _populate(self) -> None:
        at = self.now()
        with self.database.transaction() as session:
            holder = Entity(slug="acme", name="Acme", kind="dat", role="holder", recorded_at=at)
            rival = Entity(slug="rival", name="Rival", kind="dat", role="holder", recorded_at=at)
            venue = Entity(
                slug="bourse", name="Bourse", kind="exchange", role="venue", recorded_at=at
            )
            pack = LabelPack(name="test", title="Test", recorded_at=at)
            session.add_all([holder, rival, venue, pack])
            session.flush()
            session.add(
                Label(
                    chain=CHAIN,
                    address=checksummed(key_of(self.exchange)),
                    key=key_of(self.exchange),
                    name="Bourse",
                    category="exchange",
                    tier="attested",
                    entity_id=venue.id,
                    pack_id=pack.id,
                    recorded_at=at,
                )
            )
        for address in (self.treasury, self.second):
            self.watch(address)
        self.watch(self.rival, "rival")

    # -- looking -----------------------------------------------------------------------------------

    def balance(self, address: str, asset: str = "ETH", bucket: str | None = None) -> int | None:
        """The ledger's balance in base units over all buckets or one; None where there is none."""
        with self.database.transaction() as session:
            query = select(Balance).where(Balance.key == key_of(address), Balance.asset == asset)
            rows = [
                row.amount
                for row in session.exec(query)
                if bucket is None or row.bucket == bucket
            ]
            return sum(rows) if rows else None

    def deltas(self, address: str, asset: str = "ETH") -> dict[int, int]:
        """What each canonical block did to the liquid balance, openings left out, by height."""
        found: dict[int, int] = {}
        for move in self.movements(address, asset):
            if move.kind != "opening" and move.bucket == "liquid":
                found[move.height] = found.get(move.height, 0) + move.amount
        return {height: amount for height, amount in found.items() if amount}

    def true_deltas(self, address: str, first: int) -> dict[int, int]:
        """What the node says that each block from `first` on did to the ether of an address."""
        balances = [self.node.balance(address, n) for n in range(first - 1, self.node.height + 1)]
        return {
            first + place: after - before
            for place, (before, after) in enumerate(pairwise(balances))
            if after != before
        }

    def movements(self, address: str, asset: str | None = None) -> list[Movement]:
        """Canonical movements by height and reference."""
        with self.database.transaction() as session:
            query = select(Movement).where(Movement.key == key_of(address), Movement.canonical)
            if asset is not None:
                query = query.where(Movement.asset == asset)
            return sorted(session.exec(query), key=lambda m: (m.height, m.ref, m.kind))

    def transfers(self) -> list[Transfer]:
        """Canonical transfers by height."""
        with self.database.transaction() as session:
            return list(
                session.exec(
                    select(Transfer)
                    .where(Transfer.canonical)
                    .order_by(Transfer.height, Transfer.asset)
                )
            )

    def alerts(self) -> list[Alert]:
        """Every alert, oldest first."""
        with self.database.transaction() as session:
            return list(session.exec(select(Alert).order_by(Alert.opened_at)))

    def event_types(self) -> list[str]:
        """Types of the events written, in order."""
        with self.database.transaction() as session:
            return list(session.exec(select(Event.type).order_by(Event.seq)))

    def discrepancies(self) -> list[Discrepancy]:
        """Every discrepancy by height."""
        with self.database.transaction() as session:
            return list(session.exec(select(Discrepancy).order_by(Discrepancy.height)))

    def wallet(self, address: str) -> Wallet:
        """The open wallet at an address."""
        with self.database.transaction() as session:
            return registry.open_at(session, CHAIN, [key_of(address)])[key_of(address)]

    def block_row(self, height: int) -> Block:
        """The canonical block at a height."""
        with self.database.transaction() as session:
            return session.exec(
                select(Block).where(Block.height == height, Block.canonical)
            ).one()
