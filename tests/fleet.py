"""The real service as a user starts it: `tracker up` in a folder of its own, driven by commands."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 90.0


def free_port() -> int:
    """A port that the system gave, free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Fleet:
    """One running installation."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("TRACKER_")}
        self.environment |= {
            "TRACKER_DATA_DIR": str(folder / "data"),
            "TRACKER_PORT": str(self.port),
            "TRACKER_CONFIG": "",
            "TRACKER_LIVE_QUOTES": "false",
            "TRACKER_ETHEREUM_RPC_URLS": "",  # a test that follows Ethereum names its node
            "TRACKER_BITCOIN_POLL_SECONDS": "1",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with (self.folder / "up.log").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tracker.cli.main", "up"],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.until(self.ready, "ready", READY_SECONDS)

    def ready(self) -> bool:
        """Whether `/readyz` answers 200."""
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "up.log").read_text()
        try:
            return requests.get(f"{self.base}/readyz", timeout=2).status_code == 200
        except requests.ConnectionError:
            return False

    def stop(self) -> int:
        """Ctrl-C; returns the exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(40)

    def run(self, *arguments: str, text: str | None = None) -> Any:
        """A command with `--json`; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "tracker.cli.main", *arguments, "--json"],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            input=text,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def get(self, path: str) -> Any:
        """A GET of the API, without a key."""
        reply = requests.get(self.base + path, timeout=20)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def child(self, name: str) -> int:
        """The process id of a supervised child."""
        record = self.folder / "data" / "run" / "pids" / f"{name}.json"
        return int(json.loads(record.read_text())["pid"])

    @staticmethod
    def until(check: Callable[[], object], what: str, seconds: float = 30.0) -> None:
        """Wait for `check` to be true."""
        deadline = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            time.sleep(0.1)


class Listener:
    """`tracker listen --register --json`: the events that arrived, verified, in order."""

    def __init__(self, fleet: Fleet) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tracker.cli.main", "listen", "--register", "--json"],
            cwd=ROOT,
            env=fleet.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))

    def next(self, seconds: float = 30.0) -> dict[str, Any]:
        """The next line that it printed."""
        return self._lines.get(timeout=seconds)

    def quiet(self, seconds: float) -> bool:
        """Whether nothing arrives for a while."""
        try:
            self._lines.get(timeout=seconds)
        except queue.Empty:
            return True
        return False

    def stop(self) -> None:
        """Ctrl-C: it removes its endpoint."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(20)
