"""The short folder of the servers' Unix sockets, outside the data folder.

A socket's path must fit into `sun_path` (108 bytes on Linux, 104 on macOS, with the closing zero),
and a data folder may lie as deep as its owner likes. So the sockets live in a folder named by a
hash of the data folder's path, which also keeps two installations on one machine apart.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tracker.embedded.folder import DataFolder
from tracker.errors import EmbeddedError

MAX_PATH_BYTES = 103 if sys.platform == "darwin" else 107
_LONGEST_NAME = ".s.PGSQL.5432"


def make(folder: DataFolder, bases: Sequence[Path] | None = None) -> Path:
    """The folder for sockets, made and owned by the servers' uid, below the first fitting base.

    `bases` defaults to the machine's run and temporary folders. Raises `EmbeddedError` where no
    base is short enough and writable, or where the folder belongs to somebody else.
    """
    tried = _bases() if bases is None else tuple(bases)
    name = "tracker-" + hashlib.sha256(os.fsencode(folder.root)).hexdigest()[:12]
    for base in tried:
        sockets = base / name / "s"
        length = len(os.fsencode(sockets / _LONGEST_NAME))
        if length <= MAX_PATH_BYTES and os.access(base, os.W_OK | os.X_OK):
            _make_outer(sockets.parent, folder)
            folder.make_server_folder(sockets)
            return sockets
    raise EmbeddedError(
        f"no folder for the servers' sockets is writable and short enough "
        f"(a socket's path may have {MAX_PATH_BYTES} bytes)",
        field="TMPDIR",
        value=", ".join(str(base) for base in tried),
        mend="set TMPDIR to a writable folder with a short path",
    )


def remove(sockets: Path) -> None:
    """Remove what `make` made."""
    shutil.rmtree(sockets.parent, ignore_errors=True)


def _bases() -> tuple[Path, ...]:
    """The run folder first: temporary folders are swept, and may differ from service to shell."""
    run = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "")
    places = (run, tempfile.gettempdir())
    return tuple(Path(place) for place in places if place and Path(place).is_dir())


def _make_outer(outer: Path, folder: DataFolder) -> None:
    """Make the outer folder ours: in a shared temporary folder anybody may have put one there."""
    try:
        outer.mkdir(mode=0o700)
    except FileExistsError:
        status = outer.lstat()
        if outer.is_symlink() or status.st_uid != os.geteuid():
            raise EmbeddedError(
                "the folder for the servers' sockets belongs to somebody else",
                field="TMPDIR",
                value=outer,
                mend="remove it, or set TMPDIR to another folder",
            ) from None
    outer.chmod(0o700 if folder.server_uid is None else 0o711)
