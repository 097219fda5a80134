"""A small world for scans: one chain, one folder source, a holder, an exchange, a clock."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlmodel import select

from tests.regtest import RegtestChain, Utxo, key, p2wpkh
from tracker.chains.bitcoin.address import address_of
from tracker.chains.bitcoin.sources import open_pool
from tracker.config import Settings
from tracker.db import Database
from tracker.db.alerts import Alert, AlertGround, AlertRevision
from tracker.db.chain import Balance, Movement, Transfer
from tracker.db.events import Event
from tracker.db.registry import Entity, Label, LabelPack, Wallet
from tracker.doorbell import Silent
from tracker.registry import repository as registry
from tracker.scanning.bitcoin import BitcoinScan, TickReport

NETWORK = "regtest"
FIRST = 102  # the first block that can spend a coinbase
FEE = 1_000  # satoshi
FUNDS = 50 * 10**8 - FEE
HOLDER, EXCHANGE, STRANGER, SECOND = key(1), key(2), key(3), key(4)


@dataclass
class Scene:
    """The holder is paid 50 BTC in block `FIRST`, where the scan starts; the clock is the tip's."""

    url: str
    folder: Path
    chain: RegtestChain = field(default_factory=lambda: RegtestChain(mature=False))
    late: timedelta = timedelta(minutes=1)
    mined: bool = False  # the chain was prepared by another scene
    options: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.holder = self.chain.add_key(HOLDER)
        self.exchange = self.chain.add_key(EXCHANGE)
        self.stranger = self.chain.add_key(STRANGER)
        if not self.mined:
            self.chain.mine(FIRST - 1)
            paid = self.chain.spend(self.chain.coinbase(1), [(self.holder, FUNDS)], fee=FEE)
            self.chain.mine(1, txs=[paid])
        self.folder.mkdir(parents=True, exist_ok=True)
        self.blocks = self.folder / "blocks"
        self.settings = Settings(
            database_url=self.url,
            bitcoin_network=NETWORK,
            data_dir=self.folder,
            bitcoin_sources=(f"files:{self.blocks}",),
            **{
                "bitcoin_start_height": FIRST,
                "bitcoin_max_blocks_per_tick": 500,
                **self.options,
            },
        )
        self.database = Database(self.url)
        self._populate()
        self.publish()
        self.scan = self.new_scan()

    def now(self) -> datetime:
        """A little after the tip's time: what happens there is news."""
        seconds = int.from_bytes(self.chain.tip.raw[68:72], "little")
        return datetime.fromtimestamp(seconds, UTC) + self.late

    def new_scan(self) -> BitcoinScan:
        """A scan as a fresh worker process would have it."""
        return BitcoinScan(
            self.database, open_pool(self.settings), self.settings, Silent(), self.now
        )

    def publish(self) -> None:
        """Make the folder hold the active chain, and only that."""
        if self.blocks.exists():
            shutil.rmtree(self.blocks)
        self.chain.write_folder(self.blocks)

    def tick(self) -> TickReport:
        """Publish the chain and scan it."""
        self.publish()
        return self.scan.tick()

    def coin(self) -> Utxo:
        """The holder's first coin."""
        return next(u for u in self.chain.at(FIRST).utxos if u.script == self.holder)

    def sell(self, amount: int = 10 * 10**8, *, to: bytes | None = None) -> object:
        """A signed spend of the holder's coin to the exchange, change back."""
        return self.chain.spend(self.coin(), [(to or self.exchange, amount)], change=self.holder)

    def _populate(self) -> None:
        at = datetime(2011, 2, 1, tzinfo=UTC)
        with self.database.transaction() as session:
            holder = Entity(slug="acme", name="Acme", kind="dat", role="holder", recorded_at=at)
            venue = Entity(
                slug="bourse", name="Bourse", kind="exchange", role="venue", recorded_at=at
            )
            pack = LabelPack(name="test", title="Test", recorded_at=at)
            session.add_all([holder, venue, pack])
            session.flush()
            session.add(
                Wallet(
                    entity_id=holder.id,
                    chain="bitcoin",
                    address=self.address(self.holder),
                    key=self.holder,
                    role="treasury",
                    tier="attested",
                    recorded_at=at,
                )
            )
            session.add(
                Label(
                    chain="bitcoin",
                    address=self.address(self.exchange),
                    key=self.exchange,
                    name="Bourse",
                    category="exchange",
                    tier="attested",
                    entity_id=venue.id,
                    pack_id=pack.id,
                    recorded_at=at,
                )
            )
            registry.bump_watch_set(session, "bitcoin")

    def address(self, locked: bytes) -> str:
        """The regtest address of a script."""
        found = address_of(locked, NETWORK)
        assert found is not None
        return found

    # -- looking -----------------------------------------------------------------------------------

    def balance(self) -> int | None:
        """The holder's ledger balance in satoshi."""
        with self.database.transaction() as session:
            return session.exec(
                select(Balance.amount).where(Balance.key == self.holder, Balance.asset == "BTC")
            ).first()

    def alerts(self) -> list[Alert]:
        """Every alert, oldest first."""
        with self.database.transaction() as session:
            return list(session.exec(select(Alert).order_by(Alert.opened_at)))

    def revisions(self, alert_id: str) -> list[AlertRevision]:
        """The revisions of an alert."""
        with self.database.transaction() as session:
            return list(
                session.exec(
                    select(AlertRevision)
                    .where(AlertRevision.alert_id == alert_id)
                    .order_by(AlertRevision.revision)
                )
            )

    def standing(self) -> list[tuple[str, int | None]]:
        """What the alerts that were not taken back stand on: ground and amount."""
        with self.database.transaction() as session:
            rows = session.exec(
                select(AlertGround)
                .join(Alert)
                .where(AlertGround.standing, Alert.status != "retracted")
            )
            return sorted((row.ref, row.data["clip"]["amount"]) for row in rows)

    def event_types(self) -> list[str]:
        """Types of the events written, in order."""
        with self.database.transaction() as session:
            return list(session.exec(select(Event.type).order_by(Event.seq)))

    def transfers(self) -> list[Transfer]:
        """Canonical transfers by height."""
        with self.database.transaction() as session:
            return list(
                session.exec(select(Transfer).where(Transfer.canonical).order_by(Transfer.height))
            )

    def ledger(self) -> dict[str, object]:
        """Everything the ledger says, in a form that two runs can be compared by."""
        with self.database.transaction() as session:
            movements = session.exec(select(Movement).where(Movement.canonical))
            moves = sorted(
                (m.height, m.block_hash.hex(), m.tx.hex(), m.ref, m.key.hex(), m.amount)
                for m in movements
            )
            balances = sorted((b.key.hex(), b.amount) for b in session.exec(select(Balance)))
        return {"movements": moves, "balances": [b for b in balances if b[1] != 0]}


def second() -> bytes:
    """The script of another key, of nobody yet."""
    return p2wpkh(SECOND)
