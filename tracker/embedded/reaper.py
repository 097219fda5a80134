"""Stops what a killed tracker left running: known by pid file *and* command line.

Children live in sessions of their own, so they outlive a supervisor that was killed. A pid alone
proves nothing, since numbers are used again: a process is ours when it is in the session that the
pid file names and runs, word for word, the command that the pid file records.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, Signals

from tracker.embedded.child import ChildRecord, read_record
from tracker.embedded.folder import DataFolder

_LOOK_SECONDS = 0.05
_KILL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Running:
    pid: int
    group: int
    command: str


def reap(folder: DataFolder) -> tuple[str, ...]:
    """Stop every recorded child that still runs, workers first; return the names of those found.

    The caller holds the folder's lock, or knows that its holder is gone.
    """
    records = []
    for path in folder.pids.glob("*.json"):
        record = read_record(path)
        if record is None:
            path.unlink()
        else:
            records.append(record)
    found = []
    for record in sorted(records, key=lambda record: (record.stop_order, record.name)):
        if _members(record):
            _stop(record)
            found.append(record.name)
        folder.pid_file(record.name).unlink(missing_ok=True)
    return tuple(found)


def _stop(record: ChildRecord) -> None:
    for stop, seconds in record.stop:
        if not _leader_runs(record):
            break  # only the leader knows how to stop politely
        _send(record.pid, stop)
        _until_not(lambda: _leader_runs(record), seconds)
    for member in _members(record):
        _send(member.pid, SIGKILL)
    _until_not(lambda: bool(_members(record)), _KILL_SECONDS)


def _send(pid: int, stop: Signals) -> None:
    try:
        os.kill(pid, stop)
    except ProcessLookupError:
        return  # it ended between the look and the signal


def _until_not(runs: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while runs() and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)


def _leader_runs(record: ChildRecord) -> bool:
    return any(member.pid == record.pid for member in _members(record))


def _members(record: ChildRecord) -> list[_Running]:
    command = " ".join(record.argv)
    return [one for one in _processes() if one.group == record.pid and one.command == command]


def _processes() -> Iterator[_Running]:
    """All processes of the machine: from /proc where there is one, else from `ps`."""
    proc = Path("/proc")
    if (proc / "self" / "stat").exists():
        yield from _from_proc(proc)
    else:
        yield from _from_ps()


def _from_proc(proc: Path) -> Iterator[_Running]:
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            status = (entry / "stat").read_text("utf-8", "replace")
            command = (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile, or belongs to somebody else
        # The second field, the name in parentheses, may itself hold blanks and parentheses.
        group = int(status.rpartition(")")[2].split()[2])
        text = command.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
        yield _Running(int(entry.name), group, text)


def _from_ps() -> Iterator[_Running]:
    listing = subprocess.run(
        ["/bin/ps", "-axww", "-o", "pid=,pgid=,command="],
        capture_output=True,
        check=True,
        timeout=10,
    ).stdout.decode("utf-8", "replace")
    for line in listing.splitlines():
        fields = line.split(None, 2)
        if len(fields) == 3:
            yield _Running(int(fields[0]), int(fields[1]), fields[2])
