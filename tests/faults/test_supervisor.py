"""`tracker up` against what breaks it: real processes, real servers, small children."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from tests.folders import passable_folder
from tests.servers import redis_client
from tracker.embedded.folder import NOBODY

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60


@dataclass
class Up:
    """One `tracker up` with its data folder and its output so far."""

    base: Path
    name: str
    port: int
    prefix: tuple[str, ...] = ()
    more: dict[str, str] = field(default_factory=dict)
    data: Path = field(init=False)
    output: Path = field(init=False)
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.data = self.base / self.name
        self.output = self.base / f"output-{self.port}"
        self.start()

    def start(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TRACKER_")}
        environment |= {
            "TRACKER_DATA_DIR": str(self.data),
            "TRACKER_PORT": str(self.port),
            "TRACKER_CONFIG": "",
            **self.more,
        }
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "tests.small_fleet"],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def said(self) -> str:
        return self.output.read_text()

    def wait_ready(self) -> None:
        _until(
            lambda: f"ready: http://127.0.0.1:{self.port}\n" in self.said(),
            lambda: self.process.poll() is None,
            self.said,
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def servers(self) -> dict[str, str]:
        text = (self.data / "run" / "servers.json").read_text()
        return {name: str(value) for name, value in json.loads(text).items()}

    def pid_of(self, name: str) -> int:
        return int(json.loads((self.data / "run" / "pids" / f"{name}.json").read_text())["pid"])

    def left_running(self) -> list[str]:
        """Command lines of living processes that name this data folder."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if str(self.data) in line:
                    found.append(line)
        return found


@pytest.fixture
def base() -> Iterator[Path]:
    with passable_folder() as folder:
        yield folder


@pytest.fixture
def launch(base: Path) -> Iterator[Callable[..., Up]]:
    """Starts one `tracker up`; every one is ended, its orphans too, when the test is over."""
    started: list[Up] = []

    def start(name: str = "data", **more: str) -> Up:
        up = Up(base, name, _free_port(), more=more)
        started.append(up)
        return up

    yield start
    for up in started:
        if up.process.poll() is None:
            up.stop()
        if up.left_running():
            again = Up(up.base, up.name, _free_port())
            again.wait_ready()
            again.stop()


def test_it_gets_ready_serves_and_stops_with_nothing_left(launch: Callable[..., Up]) -> None:
    up = launch()
    up.wait_ready()
    record = up.servers()
    assert record["api"] == f"http://127.0.0.1:{up.port}"
    assert int(record["pid"]) == up.process.pid
    assert stat.S_IMODE((up.data / "run" / "servers.json").stat().st_mode) == 0o600
    assert _database_answers(record)
    api = http.client.HTTPConnection("127.0.0.1", up.port, timeout=5)
    api.request("GET", "/readyz")
    assert api.getresponse().status == 200
    api.close()
    hopeless = f"hopeless: restarting (exit code 3); log: {up.data / 'logs' / 'hopeless.log'}"
    deadline = time.monotonic() + 20
    while hopeless not in up.said() and time.monotonic() < deadline:
        time.sleep(0.1)
    said = up.said()
    assert hopeless in said
    assert "source a source: unreachable (no route to host; next try 00:00:00 UTC)" in said
    assert f"key for writes: in {up.data / 'admin.key'}" in said

    assert up.stop(signal.SIGINT) == 0
    assert up.left_running() == []
    assert not (up.data / "run" / "servers.json").exists()
    for secret in (record["database_url"], record["redis_url"]):
        password = re.search(r":([^:@/]+)@", secret)
        assert password is not None
        assert password[1] not in up.said()
        for log in (up.data / "logs").iterdir():
            assert password[1] not in log.read_text(errors="replace")

    up.start()
    up.wait_ready()
    assert up.servers()["database_url"] == record["database_url"]
    assert up.stop() == 0


def test_the_death_of_any_child_is_answered(launch: Callable[..., Up]) -> None:
    up = launch()
    up.wait_ready()
    record = up.servers()
    for name in ("idle", "api", "valkey", "postgres"):
        before = up.pid_of(name)
        os.kill(before, signal.SIGKILL)
        _until(lambda name=name, before=before: up.pid_of(name) != before)
    _until(lambda: _database_answers(record))
    _until(lambda: _broker_answers(record))
    assert up.process.poll() is None
    assert up.stop() == 0


def test_after_sigkill_the_next_start_reaps_and_goes_on(launch: Callable[..., Up]) -> None:
    up = launch()
    up.wait_ready()
    record = up.servers()
    _execute(record, "create table kept as select 7 as id")
    orphan = up.pid_of("api")
    assert up.stop(signal.SIGKILL) == -signal.SIGKILL
    assert len(up.left_running()) >= 4

    up.start()  # on the same port, which the orphaned API still holds
    up.wait_ready()
    assert "stopped what a crash left running: api, idle, valkey, postgres" in up.said()
    assert up.pid_of("api") != orphan
    assert _execute(up.servers(), "select id from kept") == 7
    assert up.stop() == 0
    assert up.left_running() == []


def test_a_signal_during_the_start_stops_it_cleanly(launch: Callable[..., Up]) -> None:
    up = launch()
    _until((up.data / "run" / "pids" / "postgres.json").exists)
    assert up.stop() == 0
    assert up.left_running() == []
    said = up.said().splitlines()
    assert said[0] == f"first start: making the database in {up.data}"
    assert said[-2:] == ["stopping, workers first", "stopped; the data stays"]
    assert not [line for line in said if line.endswith(": stopped")]


def test_two_installations_run_side_by_side(launch: Callable[..., Up]) -> None:
    one, two = launch("one"), launch("two")
    one.wait_ready()
    two.wait_ready()
    assert one.servers()["database_url"] != two.servers()["database_url"]
    assert one.stop() == 0
    assert _database_answers(two.servers())
    assert two.stop() == 0


def test_the_same_folder_twice_says_who_holds_it(launch: Callable[..., Up]) -> None:
    up = launch()
    up.wait_ready()
    second = Up(up.base, up.name, _free_port())
    assert second.process.wait(PATIENCE_SECONDS) == 2
    assert f"tracker up on port {up.port}, process {up.process.pid}" in second.said()
    assert "Traceback" not in second.said()
    assert up.process.poll() is None
    assert up.stop() == 0


def test_a_taken_port_names_the_port_and_the_mend(base: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        up = Up(base, "data", port)
        assert up.process.wait(PATIENCE_SECONDS) == 2
    assert "field: TRACKER_PORT" in up.said()
    assert f"value: {port}" in up.said()
    assert "Traceback" not in up.said()
    assert up.left_running() == []


def test_a_data_folder_that_cannot_be_written_is_named(base: Path) -> None:
    (base / "file").write_text("in the way")
    up = Up(base, "file/data", _free_port())
    assert up.process.wait(PATIENCE_SECONDS) == 2
    assert "field: TRACKER_DATA_DIR" in up.said()
    assert str(up.data) in up.said()
    assert "Traceback" not in up.said()


@pytest.mark.skipif(os.geteuid() != 0, reason="already runs as an ordinary user")
def test_an_ordinary_user_can_run_it(base: Path) -> None:
    home = base / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    up = Up(
        base,
        "home/data",
        _free_port(),
        prefix=_as_nobody(),
        more={"HOME": str(home), "TMPDIR": str(home)},
    )
    up.wait_ready()
    assert _database_answers(up.servers())
    assert {path.stat().st_uid for path in up.data.rglob("*")} == {NOBODY}
    assert up.stop() == 0
    assert up.left_running() == []


def _as_nobody() -> tuple[str, ...]:
    """Drops root for good, but keeps the right to read an interpreter below a private home."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        reason = "no setpriv here to become an ordinary user with"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    capability = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    ids = ("--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups")
    return (setpriv, *ids, *capability)


def _execute(record: dict[str, str], statement: str) -> object:
    dsn = record["database_url"].replace("postgresql+psycopg", "postgresql", 1)
    with psycopg.connect(dsn, connect_timeout=5) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def _database_answers(record: dict[str, str]) -> bool:
    try:
        return _execute(record, "select 1") == 1
    except psycopg.OperationalError:
        return False


def _broker_answers(record: dict[str, str]) -> bool:
    with redis_client(record["redis_url"]) as client:
        try:
            return bool(client.ping())
        except OSError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until(
    true: Callable[[], bool],
    going: Callable[[], bool] = lambda: True,
    say: Callable[[], str] = lambda: "",
) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert going(), say()
        assert time.monotonic() < deadline, say()
        time.sleep(0.05)
