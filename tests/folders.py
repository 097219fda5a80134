"""Temporary folders that the servers' unprivileged uid can pass through, also for a root run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def passable_folder(owner: int | None = None) -> Iterator[Path]:
    """A folder of mode 0711 (pytest's own are 0700), removed at the end; `owner` needs root."""
    folder = Path(tempfile.mkdtemp(prefix="tracker-test-"))
    folder.chmod(0o711)
    if owner is not None:
        os.chown(folder, owner, owner)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
