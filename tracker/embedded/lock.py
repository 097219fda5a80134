"""One tracker a data folder: an advisory lock that the kernel drops with its holder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from tracker.errors import EmbeddedError


class FolderLock:
    """An exclusive `flock` on a file that says, for people, who holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self, purpose: str) -> None:
        """Take the lock for `purpose`; raises `EmbeddedError` saying who holds it."""
        if not self.try_take(purpose):
            raise EmbeddedError(
                f"this data folder is in use by {self.holder()}",
                field="TRACKER_DATA_DIR",
                value=self._path.parent.parent,
                mend="stop the other one, or set TRACKER_DATA_DIR and TRACKER_PORT to others",
            )

    def try_take(self, purpose: str) -> bool:
        """True when the lock is ours now, False when another process holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{purpose}, process {os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return True

    def holder(self) -> str:
        """What the last holder wrote about itself."""
        with self._path.open("rb") as file:
            return file.read(200).decode("utf-8", "replace").strip() or "another process"

    def release(self) -> None:
        """Give the lock back; nothing to do when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
