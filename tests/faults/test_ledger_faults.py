"""Crashes and reorganisations in random order, against the ledger of a plain replay."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.regtest import Utxo
from tests.scene import FEE, FIRST, Scene, second
from tests.servers import fresh_database, worker_number
from tracker.chains.bitcoin.block import read_block
from tracker.detection import chain_sales, forks
from tracker.domain.match import outpoint_of
from tracker.embedded.servers import ServerUrls
from tracker.ledger import repository as ledger
from tracker.ledger.coins import repository as coins
from tracker.ledger.postings import repository as postings

# Where a crash is injected: before and after each of these, inside the block's transaction.
POINTS = [
    (ledger, "move_cursor"),
    (ledger, "write_block"),
    (postings, "write_movements"),
    (postings, "add_to_balances"),
    (postings, "add_to_days"),
    (postings, "invert"),
    (coins, "write_coins"),
    (coins, "spend"),
    (coins, "orphan"),
    (ledger, "write_transfers"),
    (ledger, "orphan_above"),
    (ledger, "set_final"),
    (chain_sales, "judge"),
    (forks, "settle"),
    (forks, "suspend"),
]


class CrashError(BaseException):
    """The process is gone: nothing may catch it."""


@contextmanager
def crash_at(rng: random.Random) -> Iterator[str]:
    module, name = rng.choice(POINTS)
    after, calls = rng.random() < 0.5, rng.randint(1, 3)
    real: Callable[..., object] = getattr(module, name)
    left = [calls]

    def dying(*args: object, **kwargs: object) -> object:
        left[0] -= 1
        if left[0] == 0 and not after:
            raise CrashError(name)
        done = real(*args, **kwargs)
        if left[0] == 0:
            raise CrashError(name)
        return done

    setattr(module, name, dying)
    try:
        yield f"{name} {'after' if after else 'before'} call {calls}"
    finally:
        setattr(module, name, real)


def play(scene: Scene, rng: random.Random, steps: int) -> None:
    """Mine, sell, fork and crash; the folder always holds the active chain."""
    chain = scene.chain
    for _ in range(steps):
        act = rng.choice(["mine", "sell", "fork", "crash", "crash", "tick"])
        if act == "mine":
            chain.mine(rng.randint(1, 2), to=rng.choice([second(), scene.holder]))
        elif act == "sell":
            held = _spendable(scene)
            if held is not None:
                to = rng.choice([scene.exchange, scene.stranger, scene.holder])
                paid = chain.spend(held, [(to, held.amount // 2)], change=scene.holder, fee=FEE)
                chain.mine(1, txs=[paid])
        elif act == "fork" and chain.height > FIRST + 1:
            base = rng.randint(max(FIRST, chain.height - 3), chain.height - 1)
            depth = chain.height - base
            chain.fork(base)
            chain.mine(depth + 1, to=second())
        elif act == "crash":
            scene.publish()
            with crash_at(rng):
                try:
                    scene.scan.tick()
                except CrashError:
                    scene.scan = scene.new_scan()
        else:
            scene.tick()


def _spendable(scene: Scene) -> Utxo | None:
    """A confirmed coin of the holder on the active chain that is no immature reward."""
    blocks = [scene.chain.at(height) for height in range(FIRST, scene.chain.height + 1)]
    spent = {
        txin.outpoint for block in blocks for tx in read_block(block.raw).txs for txin in tx.inputs
    }
    for block in blocks:
        for utxo in block.utxos[1:]:
            mine = utxo.script == scene.holder and utxo.amount > 10 * FEE
            if mine and outpoint_of(utxo.txid, utxo.index) not in spent:
                return utxo
    return None


def check_against_replay(seed: int, servers: ServerUrls, folder: Path, steps: int) -> None:
    rng = random.Random(seed)
    tag = f"{worker_number()}_{seed}"
    with (
        fresh_database(servers, f"faults_{tag}") as url,
        fresh_database(servers, f"replay_{tag}") as plain,
    ):
        scene = Scene(url, folder / "played")
        play(scene, rng, steps)
        scene.tick()
        scene.tick()
        replay = Scene(plain, folder / "replay", chain=scene.chain, mined=True)
        replay.tick()
        assert scene.ledger() == replay.ledger(), f"seed {seed}"
        assert scene.standing() == replay.standing(), f"seed {seed}"
        kinds = scene.event_types()
        assert kinds.count("sell_off.opened") == len(scene.alerts()), f"seed {seed}: {kinds}"
        scene.database.dispose()
        replay.database.dispose()


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_crashes_and_forks_gives_the_replayed_ledger(
    seed: int, servers: ServerUrls, tmp_path: Path
) -> None:
    check_against_replay(seed, servers, tmp_path, steps=14)


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(100, 140))
def test_the_same_over_many_seeds(seed: int, servers: ServerUrls, tmp_path: Path) -> None:
    check_against_replay(seed, servers, tmp_path, steps=25)
