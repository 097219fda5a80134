"""The fixtures that the whole suite stands on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from tests.folders import passable_folder
from tests.servers import redis_client

ROOT = Path(__file__).resolve().parents[2]

KILLED_RUN = """
import os, signal, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests import servers
from tracker.embedded.servers import EmbeddedServers
servers.open_run()
run = Path(os.environ["TREASURY_TESTS_FOLDER"])
EmbeddedServers(run / "data", durable=False).start()
print(run, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

NEXT_RUN = """
import sys
sys.path.insert(0, {root!r})
from tests import servers
servers.open_run()
servers.close_run()
"""


def test_a_test_gets_a_migrated_database_without_rows(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        assert "alembic_version" in inspect(connection).get_table_names()
        connection.execute(text("create table left_by_this_test (id int)"))
        connection.commit()
    engine.dispose()


@pytest.mark.parametrize("turn", [1, 2])
def test_no_test_sees_the_tables_of_another(postgres_url: str, turn: int) -> None:
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        assert "mine" not in inspect(connection).get_table_names()
        connection.execute(text("create table mine (id int)"))
        connection.commit()
    engine.dispose()


@pytest.mark.parametrize("turn", [1, 2])
def test_valkey_is_empty_at_the_start_of_each_test(redis_url: str, turn: int) -> None:
    with redis_client(redis_url) as client:
        assert client.dbsize() == 0
        client.set("mine", turn)
        assert client.get("mine") == str(turn).encode()


def test_a_killed_run_is_cleaned_up_by_the_next() -> None:
    with passable_folder() as base:
        environment = {**os.environ, "TMPDIR": str(base)}
        killed = subprocess.run(
            [sys.executable, "-c", KILLED_RUN.format(root=str(ROOT))],
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert killed.returncode == -signal.SIGKILL
        run = Path(killed.stdout.strip())
        assert (run / "data" / "postgres" / "postmaster.pid").exists()
        postmaster = int((run / "data" / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, 0)  # still runs

        subprocess.run(
            [sys.executable, "-c", NEXT_RUN.format(root=str(ROOT))],
            env=environment,
            check=True,
            timeout=60,
        )

        assert not run.exists()
        _wait_until_gone(postmaster)
        for left in base.iterdir():
            assert [path.name for path in left.iterdir()] == ["lock"]


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} still runs")
