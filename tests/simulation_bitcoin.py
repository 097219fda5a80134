"""A seeded life of the Bitcoin side over a validated chain, held against the chain's own coins.

The truth is added up from the blocks that were mined: what each made and what each spent. Two
Esplora servers stand between chain and scan; they lie for a while.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlmodel import select

from tests.block_servers import esplora, serve
from tests.regtest import MinedBlock, RegtestChain, Utxo, key
from tests.scene import FEE, FIRST, Scene
from tests.simulation import Boundaries, Clock, CrashError, assert_books
from tracker.chains.bitcoin.sources import open_source
from tracker.chains.limits import UNLIMITED
from tracker.chains.pool import BitcoinPool
from tracker.config import Settings
from tracker.db.chain import Cursor, Movement
from tracker.db.chain import Utxo as Coin
from tracker.db.registry import Wallet
from tracker.doorbell import Silent
from tracker.errors import DeepForkError, InputError, TrackerError
from tracker.reconciliation.bitcoin import BitcoinReconcile
from tracker.registry import repository as registry
from tracker.scanning.bitcoin import BitcoinScan
from tracker.scanning.bitcoin_backfill import BitcoinBackfill
from tracker.scanning.bitcoin_openings import BitcoinOpenings
from tracker.scanning.jobs import repository as jobs

CHAIN = "bitcoin"
Outpoint = tuple[bytes, int]


@dataclass(slots=True)
class Fickle:
    """An Esplora server that can be told to fail."""

    mode: str = "honest"

    def __call__(self, chain: RegtestChain, path: str) -> tuple[int, bytes]:
        """The answer to a path."""
        if self.mode == "down":
            return 503, b"<html>Service unavailable</html>"
        if self.mode == "slow down":
            return 429, b"Too many requests"
        status, body = esplora(chain, path)
        if self.mode == "stale" and path.startswith("/blocks/tip/"):
            below = max(chain.height - 4, 1)
            if path.endswith("height"):
                return 200, str(below).encode()
            return 200, chain.at(below).hash.hex().encode()
        if path.endswith("/raw") and self.mode == "half":
            return status, body[: len(body) // 2]
        if path.endswith("/raw") and self.mode == "forged":
            return status, body[:-1] + bytes([body[-1] ^ 1])
        if self.mode == "no index" and ("/utxo" in path or "scripthash" in path):
            return 404, b"endpoint does not exist"
        return status, body


@dataclass
class Process:
    """What one worker process keeps in memory."""

    scan: BitcoinScan
    openings: BitcoinOpenings
    reconcile: BitcoinReconcile
    backfill: BitcoinBackfill


@dataclass
class World:
    """A chain, its servers, a ledger and the processes that write it."""

    scene: Scene
    servers: tuple[Fickle, Fickle]
    rng: random.Random
    boundaries: Boundaries
    clock: Clock
    said: str
    deepest: int = 8
    spends: dict[bytes, list[Utxo]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chain = self.scene.chain
        self.spends[self.chain.at(FIRST).hash] = [self.chain.coinbase(1)]
        self.scripts = [self.chain.add_key(key(number)) for number in range(10, 15)]
        self.process = self.new_process()
        self.stale = self.process  # one that never starts again, its watch set ever older

    # -- processes ---------------------------------------------------------------------------------

    def new_process(self) -> Process:
        """As after a start: nothing remembered."""
        scene, settings = self.scene, self.scene.settings
        pool = BitcoinPool(
            [open_source(spec, settings) for spec in settings.bitcoin_sources],
            network=settings.bitcoin_network, now=self.clock.now,
            timer=self.clock.timer, sleep=self.clock.sleep, rate=lambda _: UNLIMITED,
        )  # fmt: skip
        return Process(
            BitcoinScan(scene.database, pool, settings, Silent(), scene.now),
            BitcoinOpenings(scene.database, pool),
            BitcoinReconcile(scene.database, pool, scene.now, probe_gap=1),
            BitcoinBackfill(scene.database, pool, settings, scene.now),
        )

    def attempt(self, work: Callable[[], object]) -> None:
        """Do it as a task would: what the tracker itself raises is for the next tick to mend."""
        try:
            work()
        except DeepForkError as error:
            raise AssertionError(f"{self.said}: halted by a shallow fork: {error}") from error
        except TrackerError as error:
            self.log.append(f"  {type(error).__name__}")

    def crash(self, work: Callable[[], object]) -> None:
        """Do it and die in the middle, perhaps."""
        with self.boundaries.crashing(self.rng) as plan:
            try:
                self.attempt(work)
            except CrashError:
                self.process = self.new_process()
        self.log.append(f"  crash: {plan}")

    def meanwhile(self, work: Callable[[], object], other: Callable[[], object]) -> None:
        """Do it while something else happens in between."""
        with self.boundaries.meanwhile(self.rng, lambda: self.attempt(other)) as plan:
            self.attempt(work)
        self.log.append(f"  meanwhile: {plan}")

    # -- the chain ---------------------------------------------------------------------------------

    def mine(self) -> None:
        """Some blocks; their rewards and payments go to watched scripts and to others."""
        rng = self.rng
        for _ in range(rng.randint(1, 3)):
            coins = self.unspent()
            txs, spent = [], []
            for coin in rng.sample(coins, min(len(coins), rng.randint(0, 2))):
                parts = rng.choice([1, 2, 2, 40])
                paid = (coin.amount - FEE) // (parts + 1)
                if paid < 1000:
                    continue
                outputs = [(rng.choice(self.everybody), paid) for _ in range(parts)]
                if parts == 40:  # dust
                    outputs = [(outputs[0][0], rng.randint(1, 600)) for _ in range(parts)]
                change = coin.script if rng.random() < 0.7 else rng.choice(self.everybody)
                txs.append(self.chain.spend(coin, outputs, change=change, fee=FEE))
                spent.append(coin)
            [block] = self.chain.mine(1, to=rng.choice(self.everybody), txs=txs)
            self.spends[block.hash] = spent

    def fork(self) -> None:
        """Another branch from up to `deepest` blocks below the tip; mostly it wins."""
        most = min(self.deepest, self.chain.height - FIRST)
        if most < 1:
            return
        depth = self.rng.randint(1, most)
        self.chain.fork(self.chain.height - depth)
        for _ in range(depth + 1):
            [block] = self.chain.mine(1, to=self.rng.choice(self.everybody))
            self.spends[block.hash] = []
        self.log.append(f"  depth {depth}")

    @property
    def everybody(self) -> list[bytes]:
        """Scripts that are paid: watched, to be watched, and never watched."""
        return [*self.scripts, self.scene.holder, self.scene.exchange, self.scene.stranger]

    def active(self) -> list[MinedBlock]:
        """The blocks of the active chain, by height."""
        return [self.chain.at(height) for height in range(self.chain.height + 1)]

    def unspent(self) -> list[Utxo]:
        """Confirmed coins that are no rewards and can be signed for."""
        blocks = self.active()[FIRST:]
        gone = {(u.txid, u.index) for block in blocks for u in self.spends[block.hash]}
        return [
            utxo for block in blocks for utxo in block.utxos[1:]
            if (utxo.txid, utxo.index) not in gone and utxo.script in self.everybody
        ]  # fmt: skip

    def deltas(self) -> dict[bytes, dict[int, int]]:
        """What each active block did to each script: script -> height -> satoshi."""
        found: dict[bytes, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for block in self.active():
            for utxo in block.utxos:
                found[utxo.script][block.height] += utxo.amount
            for utxo in self.spends.get(block.hash, ()):
                found[utxo.script][block.height] -= utxo.amount
        return found

    # -- the steps ---------------------------------------------------------------------------------

    def step(self) -> None:
        """One random thing; then the books must balance."""
        acts = {
            "mine": 8, "tick": 5, "crash_tick": 8, "race": 7, "fork": 4, "lie": 2, "honest": 3,
            "watch": 2, "close": 1, "open": 2, "crash_open": 3, "reconcile": 2, "backfill": 2,
            "slice": 2, "crash_slice": 4, "stale": 2, "restart": 1,
        }  # fmt: skip
        act = self.rng.choices(list(acts), list(acts.values()))[0]
        self.log.append(act)
        getattr(self, f"_{act}")()
        assert_books(self.scene.database, CHAIN, f"{self.said} after {act}")

    def _mine(self) -> None:
        self.mine()

    def _fork(self) -> None:
        self.fork()

    def _tick(self) -> None:
        self.attempt(self.process.scan.tick)

    def _crash_tick(self) -> None:
        self.crash(self.process.scan.tick)

    def _stale(self) -> None:
        """The oldest process ticks, with the watch set that it has in memory."""
        self.attempt(self.stale.scan.tick)

    def _race(self) -> None:
        works = [self.process.scan.tick, self.process.openings.tick, self.process.reconcile.tick,
                 lambda: self.process.backfill.slice(5)]  # fmt: skip
        other = self.new_process()
        others = [other.scan.tick, other.openings.tick, other.reconcile.tick,
                  lambda: other.backfill.slice(5), self.mine, self.fork, self._watch]  # fmt: skip
        place = self.rng.randrange(len(works))
        alike = self.rng.random() < 0.4
        self.meanwhile(works[place], others[place] if alike else self.rng.choice(others))

    def _lie(self) -> None:
        mode = self.rng.choice(["down", "slow down", "stale", "half", "forged", "no index"])
        for server in self.rng.choice([self.servers, self.servers[:1], self.servers[1:]]):
            server.mode = mode
        self.log.append(f"  {mode}")

    def _honest(self) -> None:
        for server in self.servers:
            server.mode = "honest"
        self.clock.sleep(3 * 86_400)
        self.process = self.new_process()

    def _watch(self) -> None:
        """A script is watched for the first time, or again."""
        scene = self.scene
        new = [each for each in self.scripts if each not in self.wallets()]
        if new:
            script = self.rng.choice(new)
            with scene.database.transaction() as session:
                entity = registry.get_entity(session, "acme")
                registry.bump_watch_set(session, CHAIN)
                session.add(
                    Wallet(
                        entity_id=entity.id, chain=CHAIN, address=scene.address(script),
                        key=script, role="treasury", tier="attested",
                        active_from_height=registry.next_height(session, CHAIN),
                        recorded_at=scene.now(),
                    )
                )  # fmt: skip

    def _close(self) -> None:
        open_now = self.wallets()
        mine = [wallet for script, wallet in open_now.items() if script in self.scripts]
        if mine:
            gone = self.rng.choice(mine)
            with self.scene.database.transaction() as session:
                registry.bump_watch_set(session, CHAIN)
                registry.close_wallets(session, [gone.id or 0], self.scene.now())

    def _open(self) -> None:
        self.attempt(self.process.openings.tick)

    def _crash_open(self) -> None:
        self.crash(self.process.openings.tick)

    def _reconcile(self) -> None:
        self.attempt(self.process.reconcile.tick)

    def _backfill(self) -> None:
        ready = [wallet for wallet in self.wallets().values() if wallet.opening_known]
        if ready:
            some = self.rng.sample(ready, self.rng.randint(1, min(2, len(ready))))
            with self.scene.database.transaction() as session:
                try:
                    jobs.add(
                        session, chain=CHAIN, wallets=some, now=self.scene.now(),
                        from_height=self.rng.choice([0, FIRST - 2, FIRST + 1]),
                    )  # fmt: skip
                except InputError:
                    self.log.append("  their history is known")

    def _slice(self) -> None:
        self.attempt(lambda: self.process.backfill.slice(self.rng.choice([0.0, 5.0])))

    def _crash_slice(self) -> None:
        seconds = self.rng.choice([0.0, 5.0])
        self.crash(lambda: self.process.backfill.slice(seconds))

    def _restart(self) -> None:
        self.process = self.new_process()

    # -- the end -----------------------------------------------------------------------------------

    def settle(self, final: int = 0) -> None:
        """Everything honest, everything run until nothing is left to do."""
        self._honest()
        self.mine()
        for _ in range(final):
            [block] = self.chain.mine(1)
            self.spends[block.hash] = []
        for _ in range(3):
            self._until_quiet(lambda: self.process.scan.tick().more)
            self._until_quiet(lambda: self.process.openings.tick().more)
        self._until_quiet(lambda: self.process.backfill.slice(60).more)
        report = self.process.reconcile.tick()
        assert report.residuals == 0, f"{self.said}: {report}"

    @staticmethod
    def _until_quiet(work: Callable[[], bool]) -> None:
        for _ in range(500):
            if not work():
                return
        raise AssertionError("there is always more to do")

    def assert_true(self) -> None:
        """The ledger is the chain's, for every watched script and block, and so are its coins."""
        said, database = self.said, self.scene.database
        assert_books(database, CHAIN, said)
        with database.transaction() as session:
            cursor = session.get(Cursor, CHAIN)
            moves = list(session.exec(select(Movement).where(Movement.canonical)))
            coins = list(session.exec(select(Coin).where(Coin.spent_hash.is_(None))))
        assert cursor is not None
        assert cursor.hash == self.chain.tip.hash, said
        truth = self.deltas()
        for script, wallet in self.wallets().items():
            assert wallet.opening_known, f"{said}: {wallet.address} is not opened"
            tenure = wallet.tenure_id or wallet.id
            ours: dict[int, int] = defaultdict(int)
            for move in moves:
                if move.wallet_id == tenure:
                    ours[move.height] += move.amount
            running = sum(amount for height, amount in ours.items() if height < 0)
            due = 0
            for height in range(self.chain.height + 1):
                running += ours[height]
                due += truth[script][height]
                if height >= (wallet.opening_height or 0):
                    assert running == due, (
                        f"{said}: {wallet.address} holds {due} after block {height}, the ledger "
                        f"says {running} ({running - due:+d}); history from {wallet.history_from}"
                    )
            held = sum(coin.amount for coin in coins if coin.key == script)
            assert held == due, f"{said}: {wallet.address} has coins of {held}, not of {due}"

    def wallets(self) -> dict[bytes, Wallet]:
        """The open wallets by script."""
        with self.scene.database.transaction() as session:
            rows = session.exec(
                select(Wallet).where(Wallet.chain == CHAIN, Wallet.closed_at.is_(None))
            )
            return {row.key: row for row in rows}


@contextmanager
def bitcoin_world(url: str, folder: Path, seed: int, *, deepest: int = 8) -> Iterator[World]:
    """A world for one seed: the holder is paid, its wallet opened."""
    boundaries, fickle = Boundaries(), (Fickle(), Fickle())
    scene = Scene(url, folder)
    with (
        serve(scene.chain, fickle[0]) as first,
        serve(scene.chain, fickle[1]) as second,
        boundaries.installed(),
    ):
        scene.settings = Settings(
            **{
                **scene.settings.model_dump(),
                "bitcoin_sources": (f"esplora+{first.url}", f"esplora+{second.url}"),
            }
        )
        world = World(
            scene, fickle, random.Random(seed), boundaries, Clock(), f"seed {seed}", deepest
        )
        try:
            world.process.scan.tick()
            world.process.openings.tick()
            yield world
        finally:
            scene.database.dispose()


def play(world: World, steps: int, final: int = 0) -> None:
    """Live through `steps` and say, where one fails, what led to it."""
    try:
        for _ in range(steps):
            world.step()
        world.log.append("settle")
        world.settle(final)
        world.assert_true()
    except BaseException as error:
        error.add_note(f"{world.said}, what led to it:\n" + "\n".join(world.log[-40:]))
        raise
