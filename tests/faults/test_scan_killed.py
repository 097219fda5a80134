"""Real workers of both chains, killed with SIGKILL while the chains grow and fork: the truth stays.

Each worker is a process of its own that ticks in a loop. Where it dies is chosen by a seed, as a
number of lines that it wrote: how far it had come, not how long it took.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data import ROOT
from tests.servers import fresh_database, worker_number
from tests.simulation_bitcoin import bitcoin_world
from tests.simulation_ethereum import ethereum_world
from tracker.config import Settings
from tracker.embedded.servers import ServerUrls

# Every statement is a line: a kill falls between any two, transactions included.
_WORKER = """
import json, sys
from sqlalchemy import event
from tracker.bootstrap import Services
from tracker.config import Settings
from tracker.db import Database
from tracker.doorbell import Silent
from tracker.errors import TrackerError
settings = Settings(**json.loads(sys.argv[1]))
chain = sys.argv[2]
database = Database(settings.database_url)

def say(*_):
    sys.stdout.write(".\\n")
    sys.stdout.flush()

event.listen(database.engine, "before_cursor_execute", say)
event.listen(database.engine, "commit", say)
services = Services(settings, database, Silent())
scan, openings, backfill = services.scan(chain), services.openings(chain), services.backfill(chain)
for _ in range(int(sys.argv[3])):
    for work in (scan.tick, openings.tick, services.reconcile, lambda: backfill.slice(1)):
        try:
            work()
        except TrackerError as error:
            print("waits", str(error)[:200], file=sys.stderr)
"""


def killed_after(settings: Settings, chain: str, lines: int, folder: Path) -> str:
    """Run a worker and kill it once it has written so many lines; what became of it."""
    given = json.dumps(settings.model_dump(mode="json", exclude_defaults=True))
    with (folder / "stderr").open("ab") as errors:
        worker = subprocess.Popen(
            [sys.executable, "-c", _WORKER, given, chain, "20"],
            stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, env=os.environ | {"PYTHONPATH": ""},
        )  # fmt: skip
        assert worker.stdout is not None
        try:
            for _ in range(lines):
                if not worker.stdout.readline():
                    break
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.stdout.close()
            status = worker.wait(30)
    said = (folder / "stderr").read_text(errors="replace")
    assert status == -signal.SIGKILL, f"the worker ended by itself ({status}): {said[-2000:]}"
    return said


def kill_bitcoin(servers: ServerUrls, folder: Path, seed: int, kills: int) -> None:
    with (
        fresh_database(servers, f"kill_btc_{worker_number()}_{seed}") as url,
        bitcoin_world(url, folder, seed) as world,
    ):
        for _ in range(kills):
            for act in (world.mine, world._watch, world.fork, world._backfill):
                if world.rng.random() < 0.6:
                    act()
            killed_after(world.scene.settings, "bitcoin", _lines(world.rng), folder)
        world.settle()
        world.assert_true()


def kill_ethereum(servers: ServerUrls, folder: Path, seed: int, kills: int) -> None:
    with (
        fresh_database(servers, f"kill_eth_{worker_number()}_{seed}") as url,
        ethereum_world(url, seed) as world,
    ):
        world._honest()
        for _ in range(kills):
            world._mine()
            for act in (world._watch, world.reorg, world._backfill):
                if world.rng.random() < 0.5:
                    act()
            # The tokens of the test are in no table of a worker's: only ether is compared.
            killed_after(world.scene.settings, "ethereum", _lines(world.rng), folder)
            world._note_seams()
        world.settle()
        world._note_seams()
        world.assert_true(["ETH"])


def _lines(rng: random.Random) -> int:
    return int(10 ** rng.uniform(0.3, 2.4))


def test_a_killed_bitcoin_worker_loses_and_doubles_nothing(
    servers: ServerUrls, tmp_path: Path
) -> None:
    kill_bitcoin(servers, tmp_path, 1, kills=2)


def test_a_killed_ethereum_worker_loses_and_doubles_nothing(
    servers: ServerUrls, tmp_path: Path
) -> None:
    kill_ethereum(servers, tmp_path, 1, kills=2)


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [10, 11])
def test_bitcoin_workers_killed_again_and_again(
    seed: int, servers: ServerUrls, tmp_path: Path
) -> None:
    kill_bitcoin(servers, tmp_path, seed, kills=5)


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [10, 11])
def test_ethereum_workers_killed_again_and_again(
    seed: int, servers: ServerUrls, tmp_path: Path
) -> None:
    kill_ethereum(servers, tmp_path, seed, kills=5)
