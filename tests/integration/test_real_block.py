"""Block 866342 of mainnet, scanned against the bundled registry: MARA mines 3.17526183 BTC."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from sqlmodel import select

from tests.data import shared_data
from tracker.chains.bitcoin.sources import open_pool
from tracker.config import Settings
from tracker.db import Database
from tracker.db.chain import Balance, Cursor, Movement, Transfer
from tracker.doorbell import Silent
from tracker.facts.sync import sync_facts
from tracker.registry import repository as registry
from tracker.registry.sync import sync_registry
from tracker.scanning.bitcoin import BitcoinScan

MARA = "15MdAHnkxt9TMC2Rj595hsg8Hnv693pPBB"
NOW = datetime(2026, 11, 22, tzinfo=UTC)

_SCAN = """
import sys, time
from tests.integration.test_real_block import settings_for, new_scan
from tracker.db import Database
import tracker.scanning.chain_scan as module

real = module.apply_block
def slow(*args, **kwargs):
    done = real(*args, **kwargs)
    print("written", flush=True)
    time.sleep(60)  # killed here: everything is written, nothing committed
    return done
module.apply_block = slow
new_scan(settings_for(sys.argv[1], __import__("pathlib").Path(sys.argv[2]))).tick()
"""


def settings_for(url: str, folder: Path) -> Settings:
    return Settings(
        database_url=url, data_dir=folder, bitcoin_sources=(f"files:{folder / 'blocks'}",)
    )


def new_scan(settings: Settings) -> BitcoinScan:
    database = Database(settings.database_url)
    return BitcoinScan(database, open_pool(settings), settings, Silent(), lambda: NOW)


def _prepare(url: str, folder: Path) -> Database:
    blocks = folder / "blocks"
    blocks.mkdir()
    shutil.copy(shared_data() / "bitcoin/blocks/mainnet_866342.raw.gz", blocks)
    database = Database(url)
    with database.transaction() as session:
        sync_registry(session, now=NOW)
        sync_facts(session, now=NOW)
    return database


def _state(database: Database) -> tuple[object, ...]:
    with database.transaction() as session:
        mara = registry.get_entity(session, "mara")
        moves = session.exec(select(Movement).where(Movement.entity_id == mara.id)).all()
        transfers = session.exec(select(Transfer).where(Transfer.entity_id == mara.id)).all()
        balances = session.exec(select(Balance).where(Balance.entity_id == mara.id)).all()
        cursor = session.get(Cursor, "bitcoin")
        return (
            [(m.ref, m.kind, m.amount, m.height) for m in moves],
            [(t.intent, t.net, str(t.value_usd)) for t in transfers],
            [b.amount for b in balances],
            None if cursor is None else cursor.height,
        )


def test_the_miner_is_credited_once_and_to_the_satoshi(postgres_url: str, tmp_path: Path) -> None:
    database = _prepare(postgres_url, tmp_path)
    settings = settings_for(postgres_url, tmp_path)
    scan = new_scan(settings)
    assert scan.tick().applied == 1
    moves, transfers, balances, height = _state(database)
    assert moves == [("vout:0", "coinbase_output", 317526183, 866342)]
    assert balances == [317526183]
    assert height == 866342
    assert [(intent, net) for intent, net, _ in transfers] == [("mining", 317526183)]
    # Valued with the close of its own day (2024-10-19), not with a later one.
    assert 3.175 * 67_000 < float(transfers[0][2]) < 3.176 * 70_000
    before = _state(database)
    assert scan.tick().applied == 0
    assert new_scan(settings).tick().applied == 0
    assert _state(database) == before
    database.dispose()


def test_a_worker_killed_in_the_middle_of_the_block_leaves_nothing_half_done(
    postgres_url: str, tmp_path: Path
) -> None:
    database = _prepare(postgres_url, tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", _SCAN, postgres_url, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ},
    ) as worker:
        assert worker.stdout is not None
        assert any(line.strip() == b"written" for line in worker.stdout)
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
    assert _state(database)[0] == []
    scan = new_scan(settings_for(postgres_url, tmp_path))
    deadline = time.monotonic() + 30
    while scan.tick().skipped and time.monotonic() < deadline:
        time.sleep(0.2)  # the dead worker's connection still holds the lease for a moment
    assert _state(database)[0] == [("vout:0", "coinbase_output", 317526183, 866342)]
    assert _state(database)[2] == [317526183]
    database.dispose()
