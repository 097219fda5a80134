"""Log files of children: appended to by the child itself, kept within a size by the supervisor.

A child writes straight to its file, so nothing is lost or blocked when the supervisor dies. The
price of rotating under a living writer is copy-and-truncate: lines written between the two steps
may be lost, and a burst between two looks may outgrow the limit until the next look.
"""

from __future__ import annotations

import os
from pathlib import Path

MAX_BYTES = 10_000_000
_CHUNK = 1 << 20


def open_for_child(path: Path, max_bytes: int = MAX_BYTES) -> int:
    """A descriptor (mode 0600, append only) for a child's output; the caller closes it."""
    rotate(path, max_bytes)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def rotate(path: Path, max_bytes: int = MAX_BYTES) -> bool:
    """Move the last `max_bytes` of an outgrown log to `<name>.1`; True when it was outgrown."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return False
    if size <= max_bytes:
        return False
    part = path.with_name(path.name + ".part")
    try:
        _copy_part(path, size - max_bytes, max_bytes, part)
        part.replace(path.with_name(path.name + ".1"))
        note = b""
    except OSError as error:
        # On a full disk the cut is what makes room, and the service must go on.
        part.unlink(missing_ok=True)
        note = f"[older lines were dropped: {error.strerror}]\n".encode()
    os.truncate(path, 0)  # appending writers go on at the new end
    with path.open("ab") as log:
        log.write(note)
    return True


def _copy_part(path: Path, start: int, left: int, part: Path) -> None:
    """Copy `left` bytes from `start`: the child goes on writing, so the end of file moves."""
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with path.open("rb") as source, os.fdopen(descriptor, "wb") as target:
        source.seek(start)
        while chunk := source.read(min(_CHUNK, left)):
            target.write(chunk)
            left -= len(chunk)


def tail(path: Path, max_bytes: int = 2000) -> str:
    """The end of a log, for an error's text; empty where there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - max_bytes))
            return file.read(max_bytes).decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return ""
