"""How long `tracker up` takes until it is ready. Run: `python -m tests.bench.start`.

The real service in an empty folder, started twice: the first start makes the database and reads
the bundled registry and facts into it, the second goes on. Nothing is asked off this machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import requests

from tests.fleet import ROOT, free_port
from tests.folders import passable_folder

FIRST_BUDGET, SECOND_BUDGET = 10.0, 5.0
_LOOK_SECONDS = 0.05
_PATIENCE_SECONDS = 120.0
_STOP_SECONDS = 40.0


def start_once(folder: Path) -> tuple[float, float]:
    """Seconds until `/readyz` answers 200, and seconds that the stop takes."""
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRACKER_")}
    environment |= {
        "TRACKER_DATA_DIR": str(folder / "data"),
        "TRACKER_PORT": str(port),
        "TRACKER_CONFIG": "",
        "TRACKER_LIVE_QUOTES": "false",
        "TRACKER_BITCOIN_SOURCES": "esplora+http://127.0.0.1:9",
        "TRACKER_ETHEREUM_RPC_URLS": "http://127.0.0.1:9",
    }
    started = time.perf_counter()
    with (folder / "up.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tracker.cli.main", "up"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        while not _ready(port):
            if process.poll() is not None or time.perf_counter() - started > _PATIENCE_SECONDS:
                raise SystemExit((folder / "up.log").read_text())
            time.sleep(_LOOK_SECONDS)
        ready = time.perf_counter() - started
    finally:
        stopping = time.perf_counter()
        process.send_signal(signal.SIGINT)
        process.wait(_STOP_SECONDS)
    return ready, time.perf_counter() - stopping


def _ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).ok
    except requests.ConnectionError:
        return False


def show(what: str, seconds: float, budget: float | None = None) -> None:
    verdict = ""
    if budget is not None:
        verdict = f"budget {budget:.0f} s {'met' if seconds <= budget else 'NOT met'}"
    print(f"{what:<28}{seconds:7.2f} s  {verdict}")


def main() -> None:
    """Print the rows."""
    busy = os.getloadavg()[0]
    with passable_folder() as folder:
        first, first_stop = start_once(folder)
        second, second_stop = start_once(folder)
    show("first start, until ready", first, FIRST_BUDGET)
    show("second start, until ready", second, SECOND_BUDGET)
    show("stop after the first", first_stop)
    show("stop after the second", second_stop)
    print(f"{os.cpu_count()} cores; {busy:.1f} processes ran beside it when this began")


if __name__ == "__main__":
    main()
