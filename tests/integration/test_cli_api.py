"""`tracker api` as a process of its own: it starts, refuses, streams and ends."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.api_service import NOW, services_for
from tracker.db import Database
from tracker.events import outbox, publish

_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Served:
    """A running `tracker api` and the environment that its clients use."""

    def __init__(self, process: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
        self.process = process
        self.environment = environment
        self.url = f"http://127.0.0.1:{environment['TRACKER_PORT']}"

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=_SECONDS)


@pytest.fixture
def environment(postgres_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    services_for(postgres_url, tmp_path).database.dispose()
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")},
        "TRACKER_DATABASE_URL": postgres_url,
        "TRACKER_REDIS_URL": redis_url,
        "TRACKER_DATA_DIR": str(tmp_path),
        "TRACKER_PORT": str(free_port()),
    }


@contextmanager
def served(environment: dict[str, str], log: Path) -> Iterator[Served]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tracker.cli.main", "api"],
            env=environment, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        service = Served(process, environment)
        deadline = time.monotonic() + _SECONDS
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                requests.get(f"{service.url}/healthz", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.05)
        yield service
    finally:
        process.kill()
        process.wait()


def tracker(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tracker.cli.main", *words],
        env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip


def test_it_serves_is_asked_by_the_command_line_and_ends_with_open_streams(environment, tmp_path):
    log = tmp_path / "api.log"
    with served(environment, log) as service:
        assert requests.get(f"{service.url}/readyz", timeout=20).status_code == 200
        assert "Newest alerts" in requests.get(f"{service.url}/", timeout=20).text
        made = tracker(environment, "entities", "add", "x-corp", "--name", "X", "--kind", "dat")
        assert made.returncode == 0, made.stderr
        with requests.get(f"{service.url}/v1/events/stream", stream=True, timeout=30) as stream:
            assert stream.status_code == 200
            started = time.monotonic()
            assert service.stop() == 0
            assert time.monotonic() - started < 10
    written = log.read_text()
    assert "api_listening" in written
    assert "GET /" not in written  # no access log
    assert "Traceback" not in written


def publish_event(url: str, name: str) -> None:
    database = Database(url, pool_size=1)
    with database.transaction() as session:
        outbox.add(
            session, id=name, type="sell_off.opened", timestamp=NOW, data={"event_id": name},
            alert_id=None, entity_slug=None, asset="BTC", severity="warning", tier=None,
            created_at=NOW,
        )  # fmt: skip
        publish.publish_pending(session, now=NOW)
    database.dispose()


def test_following_alerts_misses_nothing_over_a_restart_of_the_service(environment, tmp_path):
    url = environment["TRACKER_DATABASE_URL"]
    lines: queue.Queue[str] = queue.Queue()

    def seen(name: str, *, again: bool) -> None:
        """Wait until the follower has told of `name`; `again` publishes until it listens."""
        deadline = time.monotonic() + _SECONDS
        number = 0
        while time.monotonic() < deadline:
            if again:
                publish_event(url, f"{name}_{number}")
                number += 1
            with contextlib.suppress(queue.Empty):
                if name in lines.get(timeout=1):
                    return
        pytest.fail(f"{name} never came")

    with served(environment, tmp_path / "first.log") as service:
        follower = subprocess.Popen(
            [sys.executable, "-m", "tracker.cli.main", "alerts", "--follow", "--json"],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert follower.stdout is not None
        reader = threading.Thread(
            target=lambda out: [lines.put(line) for line in out], args=(follower.stdout,)
        )
        reader.start()
        try:
            seen("evt_while_up", again=True)
            assert service.stop() == 0
            publish_event(url, "evt_while_down")
            assert follower.poll() is None
            with served(environment, tmp_path / "second.log"):
                seen("evt_while_down", again=False)
        finally:
            follower.kill()
            reader.join()
            follower.wait()


def test_a_taken_port_is_named_with_the_mend(environment):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment["TRACKER_PORT"] = str(taken.getsockname()[1])
        done = tracker(environment, "api")
    assert done.returncode == 2
    assert "error: the port is taken" in done.stderr
    assert "field: TRACKER_PORT" in done.stderr
    assert "mend:" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_servers_it_says_how_to_get_them(environment):
    del environment["TRACKER_DATABASE_URL"]
    done = tracker(environment, "api")
    assert done.returncode == 2
    assert "TRACKER_DATABASE_URL" in done.stderr
    assert "tracker up" in done.stderr


def test_a_traceback_only_where_it_is_asked_for(environment):
    plain = tracker(environment, "entities")
    assert plain.returncode == 1
    assert "does not answer" in plain.stderr
    assert "Traceback" not in plain.stderr
    told = tracker({**environment, "TRACKER_DEBUG": "1"}, "entities")
    assert "Traceback" in told.stderr
