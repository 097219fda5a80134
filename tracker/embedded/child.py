"""A child process: what to run, one run of it, and the record by which an orphan is known again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tracker.embedded import logfile
from tracker.embedded.folder import DataFolder, write_private

_MAX_RECORD_BYTES = 20_000


@dataclass(frozen=True, slots=True)
class Child:
    """What to run and how to stop it.

    `stop` lists signals with the seconds given to each before the next; SIGKILL to the whole
    session follows by itself. A lower `stop_order` stops earlier. `uid` is set only under root.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)  # holds passwords
    stop: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 5.0),)
    stop_order: int = 0
    uid: int | None = None
    directory: str | None = None


@dataclass(frozen=True, slots=True)
class ChildRecord:
    """What a pid file says: enough to recognise and to stop the child without its parent."""

    name: str
    pid: int
    argv: tuple[str, ...]
    stop: tuple[tuple[signal.Signals, float], ...]
    stop_order: int


def spawn(child: Child, folder: DataFolder) -> subprocess.Popen[bytes]:
    """Start `child` in a session of its own, its output in its log, and record its pid.

    The session keeps a terminal's Ctrl-C from the child: the supervisor stops children in order.
    Raises `OSError` where the program cannot be run or recorded; then nothing runs.
    """
    log = logfile.open_for_child(folder.log_of(child.name))
    try:
        process = subprocess.Popen(  # noqa: S603  the argument list is our own
            child.argv,
            env=dict(child.environment),
            cwd=child.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
            user=child.uid,
            group=child.uid,
            extra_groups=None if child.uid is None else [],
        )
    finally:
        os.close(log)
    try:
        write_private(folder.pid_file(child.name), _record(child, process.pid))
    except OSError:
        # A child that no later start could recognise must not run.
        kill_session(process.pid)
        process.wait()
        raise
    return process


def forget(child: Child, folder: DataFolder) -> None:
    """Drop the pid file of a child that has ended."""
    folder.pid_file(child.name).unlink(missing_ok=True)


def kill_session(pid: int) -> None:
    """SIGKILL what is left of the session that `pid` leads or led."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Nothing is left; macOS answers "not permitted" for a group of zombies.
        return


def read_record(path: Path) -> ChildRecord | None:
    """The record in a pid file, or None where a crash left it unreadable."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_MAX_RECORD_BYTES))
        return ChildRecord(
            name=path.stem,
            pid=int(data["pid"]),
            argv=tuple(str(part) for part in data["argv"]),
            stop=tuple((signal.Signals[name], float(seconds)) for name, seconds in data["stop"]),
            stop_order=int(data["stop_order"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(child: Child, pid: int) -> str:
    return json.dumps(
        {
            "pid": pid,
            "argv": child.argv,
            "stop": [[stop.name, seconds] for stop, seconds in child.stop],
            "stop_order": child.stop_order,
        }
    )
