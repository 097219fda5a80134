"""One child under supervision: started, watched, started again after it dies, stopped in order."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tracker.embedded import logfile
from tracker.embedded.child import Child, forget, kill_session, spawn
from tracker.embedded.folder import DataFolder
from tracker.embedded.restarts import FAST_DEATH_SECONDS, Restarts

Phase = Literal["waiting", "up", "restarting", "failing", "stopped"]
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class ChildState:
    """What the status shows of a child; `last_end` says how its last run ended, None before."""

    name: str
    phase: Phase
    pid: int | None
    restarts: int
    last_end: str | None
    log: Path


class Supervised:
    """A child that is wanted: `tick` starts it again when it is dead and its turn has come."""

    def __init__(
        self, child: Child, folder: DataFolder, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.child = child
        self._folder = folder
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False
        self._dismissed = False
        self._started_at = 0.0
        self._next_start = 0.0
        self._record = Restarts()
        self._restarts = 0
        self._last_end: str | None = None

    def start(self) -> None:
        """Start the child; a program that cannot be run counts as a death."""
        self._wanted = True
        self._started_at = self._clock()
        try:
            self._process = spawn(self.child, self._folder)
        except OSError as error:
            self._died(f"cannot run {self.child.argv[0]}: {error.strerror}")

    def tick(self) -> None:
        """Notice a death, start what is due, and keep the log within its size."""
        logfile.rotate(self._folder.log_of(self.child.name))
        if self._process is not None and self._process.poll() is not None:
            # A dead leader may leave pool processes that would work beside its successor.
            kill_session(self._process.pid)
            self._died(_ending(self._process.returncode))
        if self._wanted and self._process is None and self._clock() >= self._next_start:
            self._restarts += 1
            self.start()

    def alive(self) -> bool:
        """True while the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def state(self) -> ChildState:
        """The state as of the last `start`, `tick` or `stop`."""
        return ChildState(
            name=self.child.name,
            phase=self._phase(),
            pid=self._process.pid if self._process is not None else None,
            restarts=self._restarts,
            last_end=self._last_end,
            log=self._folder.log_of(self.child.name),
        )

    def dismiss(self) -> None:
        """From now on the child is not wanted: no `tick` starts it again."""
        self._wanted = False
        self._dismissed = True

    def signal(self, stage: int) -> float:
        """Send the signal of `stage` (SIGKILL past the last); return the seconds it is given."""
        process = self._process
        if process is None:
            return 0.0
        if stage < len(self.child.stop):
            number, seconds = self.child.stop[stage]
            process.send_signal(number)
            return seconds
        kill_session(process.pid)
        process.wait()
        return 0.0

    def clear(self) -> None:
        """After the end: kill what is left of the session and drop the pid file."""
        if self._process is not None:
            kill_session(self._process.pid)
            self._process = None
        forget(self.child, self._folder)

    def _phase(self) -> Phase:
        if self._dismissed:
            return "stopped"
        if not self._wanted:
            return "waiting"
        young = self._clock() - self._started_at < FAST_DEATH_SECONDS
        if self._record.failing and (self._process is None or young):
            return "failing"
        return "restarting" if self._process is None else "up"

    def _died(self, how: str) -> None:
        now = self._clock()
        self._process = None
        self._last_end = how
        self._record = self._record.after(now - self._started_at)
        self._next_start = now + self._record.delay_seconds


def stop_all(children: Sequence[Supervised]) -> None:
    """Stop the children by `stop_order`; those of one order stop side by side.

    Returns when every process has ended: the last resort is SIGKILL.
    """
    for child in children:
        child.dismiss()
    for order in sorted({child.child.stop_order for child in children}):
        _stop_together([child for child in children if child.child.stop_order == order])


def _stop_together(children: Sequence[Supervised]) -> None:
    stages = dict.fromkeys(children, 0)
    deadlines = {child: time.monotonic() + child.signal(0) for child in children if child.alive()}
    while deadlines:
        for child in list(deadlines):
            if not child.alive():
                del deadlines[child]
            elif time.monotonic() >= deadlines[child]:
                stages[child] += 1
                deadlines[child] = time.monotonic() + child.signal(stages[child])
        time.sleep(_LOOK_SECONDS)
    for child in children:
        child.clear()


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
