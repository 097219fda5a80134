"""Children: real processes, a clock in the test's hand."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.folders import passable_folder
from tracker.embedded import folder as folders
from tracker.embedded import reaper
from tracker.embedded.child import Child, read_record, spawn
from tracker.embedded.folder import DataFolder
from tracker.embedded.supervised import Supervised, stop_all

SLEEP = "import time; time.sleep(600)"
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
WITH_POOL = "import os, time; os.fork(); time.sleep(600)"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder() -> Iterator[DataFolder]:
    with passable_folder() as base:
        yield folders.prepare(base / "data")


def _python(name: str, program: str, **more: object) -> Child:
    return Child(name, (sys.executable, "-S", "-c", program), dict(os.environ), **more)  # type: ignore[arg-type]


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _running(pid: int) -> bool:
    """False also for a zombie that nobody has waited for."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except FileNotFoundError:
        return False


def test_a_dead_child_is_started_again(folder: DataFolder) -> None:
    clock = Clock()
    child = Supervised(_python("idle", SLEEP), folder, clock)
    child.start()
    first = child.state
    assert (first.phase, first.restarts, first.last_end) == ("up", 0, None)
    assert first.pid is not None
    clock.now += 3600
    os.kill(first.pid, signal.SIGKILL)
    _until(lambda: not child.alive())
    child.tick()
    assert child.state.phase == "restarting"
    assert child.state.last_end == "signal 9"
    clock.now += 1
    child.tick()
    assert child.state.phase == "up"
    assert child.state.restarts == 1
    assert child.state.pid not in (None, first.pid)
    stop_all([child])
    assert child.state.phase == "stopped"


def test_five_fast_deaths_are_failing_and_a_long_life_mends_it(folder: DataFolder) -> None:
    clock = Clock()
    switch = folder.root / "switch"
    program = f"import os, time; os.path.exists({str(switch)!r}) or os._exit(3); time.sleep(600)"
    child = Supervised(_python("hopeless", program), folder, clock)
    child.start()
    for death in range(1, 6):
        _until(lambda: not child.alive())
        child.tick()
        assert child.state.last_end == "exit code 3"
        assert child.state.phase == ("failing" if death == 5 else "restarting")
        if death == 5:
            switch.touch()
        clock.now += 30
        child.tick()
    assert child.state.phase == "failing"  # it runs, but has not proved itself
    clock.now += 11
    assert child.state.phase == "up"
    stop_all([child])


def test_a_program_that_is_missing_is_failing_and_says_so(folder: DataFolder) -> None:
    clock = Clock()
    child = Supervised(Child("gone", ("/nonexistent/program",), {}), folder, clock)
    child.start()
    for _ in range(5):
        clock.now += 5
        child.tick()
    assert child.state.phase == "failing"
    assert child.state.last_end == "cannot run /nonexistent/program: No such file or directory"
    stop_all([child])


def test_a_deaf_child_is_killed_and_its_sessions_rest_too(folder: DataFolder) -> None:
    deaf = Supervised(_python("deaf", STUBBORN, stop=((signal.SIGTERM, 0.2),)), folder)
    pool = Supervised(_python("pool", WITH_POOL), folder)
    for child in (deaf, pool):
        child.start()
    _until(lambda: folder.log_of("deaf").read_text() == "deaf\n")
    pids = [child.state.pid for child in (deaf, pool)]
    stop_all([deaf, pool])
    for pid in pids:
        assert pid is not None
        _until(lambda pid=pid: not _group(pid))
    assert not list(folder.pids.iterdir())


def test_children_of_a_lower_order_have_ended_before_the_next_are_asked(
    folder: DataFolder,
) -> None:
    order = folder.root / "order"
    program = """
import signal, sys, time
def end(*_):
    time.sleep({pause})
    open({order!r}, "a").write({name!r} + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("set", flush=True)
time.sleep(600)
"""
    children = [
        Supervised(
            _python(
                name, program.format(pause=pause, order=str(order), name=name), stop_order=rank
            ),
            folder,
        )
        for name, pause, rank in (("database", 0, 2), ("broker", 0, 1), ("worker", 0.2, 0))
    ]
    for child in children:
        child.start()
    for child in children:
        _until(lambda log=folder.log_of(child.child.name): log.read_text() == "set\n")
    stop_all(children)
    assert order.read_text().split() == ["worker", "broker", "database"]


def test_the_log_of_a_child_that_never_stops_talking_is_bounded(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.embedded.logfile.rotate.__defaults__", (1000,))
    child = Supervised(_python("loud", "while True: print('x' * 99, flush=True)"), folder)
    child.start()
    old = folder.logs / "loud.log.1"
    _until(lambda: (child.tick(), old.exists())[1])
    assert old.stat().st_size <= 1000
    stop_all([child])


def test_an_orphan_is_known_by_pid_file_and_command_line(folder: DataFolder) -> None:
    orphan = spawn(_python("orphan", WITH_POOL), folder)
    record = read_record(folder.pid_file("orphan"))
    assert record is not None
    assert record.pid == orphan.pid
    assert reaper.reap(folder) == ("orphan",)
    assert orphan.wait(5) == -signal.SIGTERM
    _until(lambda: not _group(orphan.pid))
    assert not list(folder.pids.iterdir())
    assert reaper.reap(folder) == ()


def test_a_stranger_with_the_recorded_pid_is_left_alone(folder: DataFolder) -> None:
    stranger = spawn(_python("stranger", SLEEP), folder)
    path = folder.pid_file("stranger")
    path.write_text(path.read_text().replace("sleep(600)", "sleep(601)"))
    assert reaper.reap(folder) == ()
    assert stranger.poll() is None
    assert not path.exists()
    stranger.kill()
    stranger.wait()


def test_a_pool_whose_leader_died_is_reaped(folder: DataFolder) -> None:
    leader = spawn(_python("leader", WITH_POOL), folder)
    _until(lambda: len(_group(leader.pid)) == 2)
    leader.kill()
    leader.wait()
    left = _group(leader.pid)
    assert len(left) == 1
    assert reaper.reap(folder) == ("leader",)
    _until(lambda: not _running(left[0]))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}'])
def test_a_pid_file_cut_by_a_crash_is_dropped(folder: DataFolder, text: str) -> None:
    folder.pid_file("cut").write_text(text)
    assert reaper.reap(folder) == ()
    assert not folder.pid_file("cut").exists()


def _group(group: int) -> list[int]:
    return [one.pid for one in reaper._processes() if one.group == group and one.command]
