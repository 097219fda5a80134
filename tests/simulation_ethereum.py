"""A seeded life of the Ethereum side over a real node, held against the node's own balances.

The truth is asked of the node itself, block by block: `eth_getBalance` for ether and `balanceOf`
for tokens. Two proxies stand between node and scan; they lie for a while.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from sqlmodel import select

from tests import anvil
from tests.account_scene import CHAIN, ETHER, AccountScene, key_of
from tests.anvil import DEPOSIT_CONTRACT, WETH, Anvil, Contract
from tests.rpc_lies import TRACES, Lies
from tests.simulation import Boundaries, Clock, CrashError, assert_books
from tests.withdrawals import RpcProxy, proxying
from tracker.chains.ethereum.assets import AssetTable, Token
from tracker.chains.ethereum.network import network_name
from tracker.chains.ethereum.pool import EthereumPool
from tracker.chains.ethereum.sources import open_sources
from tracker.chains.limits import UNLIMITED
from tracker.config import Settings
from tracker.db.chain import Cursor, Movement
from tracker.db.reconciliation import Discrepancy
from tracker.db.registry import Wallet
from tracker.errors import DeepForkError, InputError, TrackerError
from tracker.reconciliation.ethereum import EthereumReconcile
from tracker.reconciliation.late_traces import LateTraces
from tracker.scanning.ethereum import EthereumScan
from tracker.scanning.ethereum_backfill import EthereumBackfill
from tracker.scanning.ethereum_openings import EthereumOpenings
from tracker.scanning.jobs import repository as jobs

FEE, LIE = "USDC", "DAI"  # symbols with decimals; the contracts behind them are the test's own
SHORT_EPOCH = 4  # slots: finality lags 8 blocks behind the tip, not 64
_session = requests.Session()
_session.trust_env = False


def quick_pool(settings: Settings, clock: Clock | None = None) -> EthereumPool:
    """The sources of the settings, asked as fast as they answer, by a clock of their own."""
    clock = clock or Clock()
    return EthereumPool(
        open_sources(settings), network=network_name(settings.ethereum_chain_id),
        now=clock.now, timer=clock.timer, sleep=clock.sleep, rate=lambda _: UNLIMITED,
    )  # fmt: skip


@dataclass
class Process:
    """What one worker process keeps in memory."""

    scan: EthereumScan
    openings: EthereumOpenings
    reconcile: EthereumReconcile
    late: LateTraces
    backfill: EthereumBackfill


@dataclass
class World:
    """A node, its proxies, a ledger and the processes that write it."""

    scene: AccountScene
    node: Anvil
    proxies: Sequence[RpcProxy]
    rng: random.Random
    boundaries: Boundaries
    clock: Clock
    final_lag: int
    said: str
    contracts: dict[str, Contract]
    full: bool = False
    traced: bool = True  # no lie has hidden traces so far
    seams: dict[str, int] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.late_comers = list(self.node.accounts[4:8])
        self.process = self.new_process()

    # -- processes ---------------------------------------------------------------------------------

    def new_process(self) -> Process:
        """As after a start: nothing remembered."""
        scene = self.scene
        pool = quick_pool(scene.settings, self.clock)
        database, now, assets = scene.database, scene.now, scene.assets
        return Process(
            scene.new_scan(pool),
            EthereumOpenings(database, pool, assets),
            EthereumReconcile(database, pool, now, assets, probe_gap=1),
            LateTraces(database, pool, now, assets),
            EthereumBackfill(database, pool, scene.settings, now, assets),
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

    @property
    def people(self) -> list[str]:
        """Everybody whose coins move, watched or not."""
        return [self.scene.treasury, self.scene.second, self.scene.rival, *self.late_comers,
                self.scene.stranger, self.scene.exchange]  # fmt: skip

    def mine(self, blocks: int = 1) -> None:
        """Blocks of random transactions."""
        for _ in range(blocks):
            if not self.full and self.rng.random() < 0.15:
                payee = self.rng.choice(self.people)
                self.proxies[0].withdraw(self.node, (payee, self.rng.randint(1, 10**9), 7))
                continue
            self.node.set_fee_recipient(self.rng.choice(self.people))
            with self.node.one_block():
                for _ in range(self.rng.randint(0, 4)):
                    self._transact()

    def _transact(self) -> None:
        rng, node = self.rng, self.node
        payer, payee = rng.choice(self.people), rng.choice(self.people)
        value = rng.randint(1, ETHER)
        mover, weth = self.contracts["Mover"], self.contracts["Weth"]
        acts: dict[str, Callable[[], object]] = {
            "value": lambda: node.send(payer, payee, value),
            "zero value": lambda: node.send(payer, payee, 0),
            "self-transfer": lambda: node.send(payer, payer, value),
            "failed": lambda: mover.send("fail", sender=payer, value=value),
            "creation": lambda: node.send(payer, None, value, anvil.artifact("Mover").creation()),
            "selfdestruct": lambda: mover.send(
                "createAndDestroy", payee, sender=payer, value=value
            ),
            "internal": lambda: mover.send(
                rng.choice(["forward", "createPaying", "tryThenForward"]), payee,
                sender=payer, value=value,
            ),
            "nested": lambda: mover.send("nest", 3, payee, sender=payer, value=value),
            "reverted": lambda: mover.send(
                rng.choice(["tryForward", "forwardThenFail"]), payee, sender=payer, value=value
            ),
            "builder": lambda: mover.send("payFeeRecipient", sender=payer, value=value),
            "wrap": lambda: weth.send("deposit", sender=payer, value=value),
            "unwrap": lambda: weth.send("withdraw", value // 9, sender=payer),
            "weth": lambda: weth.send("transfer", payee, value // 7, sender=payer),
            "fee token": lambda: self.contracts[FEE].send(
                "transfer", payee, value // 3, sender=payer
            ),
            "token": lambda: self.contracts[LIE].send("transfer", payee, value // 3, sender=payer),
            "told only": lambda: self.contracts[LIE].send(
                "pretend", payer, payee, value, sender=payer
            ),
            "moved only": lambda: self.contracts[LIE].send(
                "moveQuietly", payer, payee, value // 5, sender=payer
            ),
            "stake": lambda: self.contracts["DepositContract"].send(
                "deposit", bytes(48), bytes([1]) + bytes(11) + key_of(payee), bytes(96),
                bytes(32), sender=payer, value=32 * ETHER,
            ),
        }  # fmt: skip
        acts[rng.choice(list(acts))]()

    def reorg(self, depth: int | None = None) -> None:
        """Replace up to as many blocks as may fall, and now and then grow past them."""
        most = min(self.final_lag - 1, self.node.height - self.base)
        if most < 1:
            return
        depth = depth or self.rng.randint(1, most)
        self.node.reorg(depth)
        grown = self.rng.randint(0, min(2, self.final_lag - depth))
        self.mine(grown)
        self.log.append(f"  depth {depth}, grown {grown}")

    @property
    def base(self) -> int:
        """The height of the preparations, which stay."""
        return self._base

    def start(self) -> None:
        """The first blocks, the first openings."""
        self._base = self.node.height
        if self.rng.random() < 0.5:
            self._hide_traces()
        self.attempt(self.process.scan.tick)
        self.attempt(self.process.openings.tick)

    # -- the steps ---------------------------------------------------------------------------------

    def step(self) -> None:
        """One random thing; then the books must balance."""
        acts = {
            "mine": 9, "tick": 6, "crash_tick": 8, "double_tick": 1, "race": 9, "reorg": 4,
            "lie": 3, "honest": 3, "watch": 1, "open": 2, "crash_open": 2, "reconcile": 3,
            "crash_reconcile": 4, "late": 1, "crash_late": 3, "backfill": 1, "slice": 2,
            "crash_slice": 4, "restart": 1,
        }  # fmt: skip
        act = self.rng.choices(list(acts), list(acts.values()))[0]
        self.log.append(act)
        getattr(self, f"_{act}")()
        self._note_seams()
        assert_books(self.scene.database, CHAIN, f"{self.said} after {act}")

    def _mine(self) -> None:
        self.mine(self.rng.randint(1, 6))

    def _tick(self) -> None:
        self.attempt(self.process.scan.tick)

    def _crash_tick(self) -> None:
        self.crash(self.process.scan.tick)

    def _double_tick(self) -> None:
        """A second tick over the same chain finds nothing to do, whatever the sources are like."""
        self.attempt(self.process.scan.tick)
        before = self._written()
        self.attempt(self.new_process().scan.tick)
        if before[0] == self.node.block()["hash"][2:]:
            assert self._written() == before, f"{self.said}: a second tick changed the ledger"

    def _written(self) -> tuple[str, list[tuple[object, ...]]]:
        with self.scene.database.transaction() as session:
            cursor = session.get(Cursor, CHAIN)
        assert cursor is not None
        return cursor.hash.hex(), sorted(
            (move.height, move.tx, move.ref, move.kind, move.key, move.asset, move.amount)
            for move in self.movements()
        )

    def _race(self) -> None:
        """Two processes at once: one does its whole work in the middle of the other's."""
        works = [self.process.scan.tick, self.process.openings.tick, self.process.reconcile.tick,
                 self.process.late.tick, lambda: self.process.backfill.slice(5)]  # fmt: skip
        other = self.new_process()
        others = [other.scan.tick, other.openings.tick, other.reconcile.tick, other.late.tick,
                  lambda: other.backfill.slice(5), self.mine, self.reorg, self._watch]  # fmt: skip
        place = self.rng.randrange(len(works))
        alike = self.rng.random() < 0.5
        self.meanwhile(works[place], others[place] if alike else self.rng.choice(others))

    def _reorg(self) -> None:
        self.reorg()

    def _lie(self) -> None:
        rng = self.rng
        lies = [
            Lies(retry_after="1"), Lies(status=503), Lies(cut=True), Lies(cut_unsaid=True),
            Lies(behind=rng.randint(1, 5)), Lies(hidden=TRACES), Lies(hidden=TRACES),
            Lies(states=rng.randint(1, 12)), Lies(null=("eth_getBlockReceipts",)),
            Lies(status=500, only=("eth_call", "eth_getBalance")),
            Lies(hidden=TRACES, states=rng.randint(3, 20)),
            Lies(chain_id=5),
        ]  # fmt: skip
        if self.full:
            lies.append(Lies(keep_logs=rng.randint(0, 1)))
        lie = rng.choice(lies)
        for proxy in rng.choice([self.proxies, self.proxies[:1], self.proxies[1:]]):
            proxy.lies = lie
        if lie.hidden:
            self.traced = False
        self.process = self.new_process()
        self.log.append(f"  {lie}")

    def _hide_traces(self) -> None:
        """As most public nodes are."""
        for proxy in self.proxies:
            proxy.lies = Lies(hidden=TRACES)
        self.traced = False
        self.process = self.new_process()

    def _honest(self) -> None:
        for proxy in self.proxies:
            proxy.lies = Lies()
        self.clock.sleep(86_400)
        self.process = self.new_process()

    def _watch(self) -> None:
        new = [each for each in self.late_comers if each not in self.wallets()]
        if new:
            self.scene.watch(self.rng.choice(new), self.rng.choice(["acme", "rival"]))

    def _open(self) -> None:
        self.attempt(self.process.openings.tick)

    def _crash_open(self) -> None:
        self.crash(self.process.openings.tick)

    def _reconcile(self) -> None:
        self.attempt(self.process.reconcile.tick)

    def _crash_reconcile(self) -> None:
        self.crash(self.process.reconcile.tick)

    def _late(self) -> None:
        self.attempt(self.process.late.tick)

    def _crash_late(self) -> None:
        self.crash(self.process.late.tick)

    def _backfill(self) -> None:
        ready = [wallet for wallet in self.wallets().values() if wallet.opening_known]
        if ready:
            some = self.rng.sample(ready, self.rng.randint(1, min(2, len(ready))))
            with self.scene.database.transaction() as session:
                try:
                    jobs.add(
                        session, chain=CHAIN, wallets=some, from_height=self.rng.randint(0, 3),
                        now=self.scene.now(),
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

    def settle(self) -> None:
        """Everything honest, everything run until nothing is left to do."""
        self._honest()
        self.mine(2)
        for _ in range(3):
            self._until_quiet(lambda: self.process.scan.tick().more)
            self._until_quiet(lambda: self.process.openings.tick().more)
        self.mine(2)
        self.node.mine(self.final_lag + 2)
        for _ in range(2):
            self._until_quiet(lambda: self.process.scan.tick().more)
            self._until_quiet(lambda: self.process.reconcile.tick().more)
            self._until_quiet(lambda: bool(self.process.late.tick()))
            self._until_quiet(lambda: self.process.backfill.slice(60).more)

    @staticmethod
    def _until_quiet(work: Callable[[], bool]) -> None:
        for _ in range(500):
            if not work():
                return
        raise AssertionError("there is always more to do")

    def assert_true(self, only: Sequence[str] = ()) -> None:
        """The ledger is the node's, for every watched address, asset (or `only` some) and block."""
        scene, said = self.scene, self.said
        assert_books(scene.database, CHAIN, said)
        with scene.database.transaction() as session:
            cursor = session.get(Cursor, CHAIN)
            assert cursor is not None
            told = list(session.exec(select(Discrepancy).where(Discrepancy.canonical)))
        top = self.node.block()
        assert (cursor.height, cursor.hash.hex()) == (int(top["number"], 16), top["hash"][2:]), said
        wallets = self.wallets()
        assert all(wallet.opening_known for wallet in wallets.values()), f"{said}: not opened"
        final = cursor.final_height
        assets = only or sorted(scene.assets.by_symbol.keys() | {"ETH"})
        first = min(self.first_sure(each, asset) for each in wallets.values() for asset in assets)
        truth = self.truth(list(wallets), max(first, 0), final)
        sums = self.sums()
        for address, wallet in wallets.items():
            for asset in assets:
                blurred = [
                    range(row.from_height + 1, row.height)
                    for row in told
                    if row.key == wallet.key and row.asset == asset
                    and row.from_height is not None and (row.expected or row.observed != row.amount)
                ]  # fmt: skip
                start, running = self.first_sure(wallet, asset), 0
                moves = sums[wallet.key, asset]
                at = sorted(moves)
                place = 0
                for height in range(min(at[0] if at else 0, start), final + 1):
                    while place < len(at) and at[place] <= height:
                        running += moves[at[place]]
                        place += 1
                    if height < start or any(height in each for each in blurred):
                        continue
                    due = truth[address, asset, height]
                    assert running == due, (
                        f"{said}: {asset} of {address} is {running} at block {height}, the node "
                        f"says {due} ({running - due:+d}); watched for sure from {start}"
                    )

    def resolved(self, wallet: Wallet) -> bool:
        """Whether every difference of a wallet's ether could be dated to its block."""
        with self.scene.database.transaction() as session:
            rows = session.exec(select(Discrepancy).where(Discrepancy.canonical)).all()
        return not any(
            row.key == wallet.key and row.asset == "ETH" and row.from_height is not None
            for row in rows
        )

    def first_sure(self, wallet: Wallet, asset: str = "ETH") -> int:
        """From which block on the ledger must be right.

        That is the seam, or where backfill began: but it dates nothing that no record tells, ether
        moved by contracts without their traces, or what a lying token did.
        """
        seam = self.seams[f"0x{wallet.key.hex()}"]
        told = asset == "WETH" or (asset == "ETH" and self.traced)
        return min(seam, wallet.history_from or seam) if told else seam

    def truth(
        self, addresses: Sequence[str], first: int, last: int
    ) -> dict[tuple[str, str, int], int]:
        """What the node says that each address held after each block, by (address, asset, height).

        An address without code holds nothing of a token before its contract is there.
        """
        asked: list[tuple[tuple[str, str, int], dict[str, Any]]] = []
        tokens = {token.symbol: f"0x{token.address.hex()}" for token in self.scene.assets.tokens}
        for height in range(first, last + 1):
            for address in addresses:
                asked.append(((address, "ETH", height), {
                    "method": "eth_getBalance", "params": [address, hex(height)],
                }))  # fmt: skip
                for symbol, token in tokens.items():
                    call = {"to": token, "data": f"0x70a08231{'0' * 24}{address[2:]}"}
                    asked.append(((address, symbol, height), {
                        "method": "eth_call", "params": [call, hex(height)],
                    }))  # fmt: skip
        found: dict[tuple[str, str, int], int] = {}
        for start in range(0, len(asked), 500):
            part = asked[start:start + 500]
            batch = [
                {"jsonrpc": "2.0", "id": number, **call} for number, (_, call) in enumerate(part)
            ]
            for reply in _session.post(self.node.url, json=batch, timeout=60).json():
                found[part[reply["id"]][0]] = int(reply["result"].removesuffix("0x") or "0x0", 16)
        return found

    def sums(self) -> dict[tuple[bytes, str], dict[int, int]]:
        """What the ledger's canonical movements add up to: (key, asset) -> height -> amount.

        What waits at the deposit contract is no balance of the address any more.
        """
        found: dict[tuple[bytes, str], dict[int, int]] = defaultdict(dict)
        for move in self.movements():
            if move.bucket != "pending_deposit":
                moves = found[move.key, move.asset]
                moves[move.height] = moves.get(move.height, 0) + move.amount
        return found

    def movements(self) -> list[Movement]:
        """Every canonical movement."""
        with self.scene.database.transaction() as session:
            return list(
                session.exec(select(Movement).where(Movement.chain == CHAIN, Movement.canonical))
            )

    def wallets(self) -> dict[str, Wallet]:
        """The open wallets by address, in lower case."""
        with self.scene.database.transaction() as session:
            rows = session.exec(
                select(Wallet).where(Wallet.chain == CHAIN, Wallet.closed_at.is_(None))
            )
            return {f"0x{row.key.hex()}": row for row in rows}

    def _note_seams(self) -> None:
        for address, wallet in self.wallets().items():
            if not wallet.opening_known:
                self.seams.pop(address, None)
            elif wallet.opening_height is not None:
                # Backfill moves an opening down; one taken again lies above the one that fell.
                before = self.seams.get(address, wallet.opening_height)
                self.seams[address] = max(before, wallet.opening_height)


@contextmanager
def ethereum_world(
    url: str, seed: int, *, full: bool = False, slots: int = SHORT_EPOCH
) -> Iterator[World]:
    """A world for one seed: contracts placed, the first wallets opened."""
    options = ("--slots-in-an-epoch", str(slots))
    boundaries = Boundaries()
    with (
        anvil.run(options=options) as node,
        proxying(node) as first,
        proxying(node) as second,
        boundaries.installed(),
    ):
        second._withdrawals = first._withdrawals  # both see the same blocks
        contracts, assets = _prepared(node)
        scene = AccountScene(
            url, node, rpc_urls=[first.url, second.url], assets=assets,
            options={"ethereum_checks": "full" if full else "trusted"},
        )  # fmt: skip
        world = World(
            scene, node, [first, second], random.Random(seed), boundaries, Clock(), 2 * slots,
            f"seed {seed}", contracts, full,
        )  # fmt: skip
        try:
            world.start()
            yield world
        finally:
            scene.database.dispose()


def _prepared(node: Anvil) -> tuple[dict[str, Contract], AssetTable]:
    """The contracts, with tokens in everybody's hands."""
    node.place_canonical()
    giver = node.accounts[0]
    fee = node.deploy("FeeToken", 10**24, 100, True, node.accounts[3])
    lie = node.deploy("LyingToken", 10**24)
    contracts = {
        "Mover": node.deploy("Mover"), "Weth": node.at("Weth", WETH), FEE: fee, LIE: lie,
        "DepositContract": node.at("DepositContract", DEPOSIT_CONTRACT),
    }  # fmt: skip
    with node.one_block():
        for person in node.accounts[1:]:
            for token in (fee, lie):
                token.send("transfer", person, 10**21, sender=giver)
    assets = AssetTable((
        Token("WETH", key_of(WETH), wraps_ether=True),
        Token(FEE, key_of(fee.address)),
        Token(LIE, key_of(lie.address)),
    ))  # fmt: skip
    return contracts, assets


def play(world: World, steps: int) -> None:
    """Live through `steps` and say, where one fails, what led to it."""
    try:
        for _ in range(steps):
            world.step()
        world.log.append("settle")
        world.settle()
        world._note_seams()
        world.assert_true()
    except BaseException as error:
        error.add_note(f"{world.said}, what led to it:\n" + "\n".join(world.log[-40:]))
        raise


