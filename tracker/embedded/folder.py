"""The data folder: its layout, its modes, and who owns what when root starts it.

PostgreSQL refuses to run as root, so a root start gives the two servers' own folders to an
unprivileged uid. Everything else stays with whoever started the tracker. Modes are set on folders
made here and on no other: a folder that somebody else made private stays private, and is named.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from tracker.errors import EmbeddedError

NOBODY = 65534  # the uid and gid that own nothing, on Linux by convention


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Paths inside one prepared data folder; `server_uid` is None when not started by root."""

    root: Path
    server_uid: int | None

    @property
    def run(self) -> Path:
        """Lock, pid files, servers file and beat schedule."""
        return self.root / "run"

    @property
    def pids(self) -> Path:
        """One file a child, by which an orphan is known again."""
        return self.run / "pids"

    @property
    def logs(self) -> Path:
        """One log a child, and the one before it."""
        return self.root / "logs"

    @property
    def programs(self) -> Path:
        """Our own copy of the servers' programs, reachable for the unprivileged uid."""
        return self.root / "programs"

    @property
    def postgres(self) -> Path:
        """The PostgreSQL cluster."""
        return self.root / "postgres"

    @property
    def valkey(self) -> Path:
        """Valkey's configuration and append-only file."""
        return self.root / "valkey"

    def log_of(self, name: str) -> Path:
        """The log file of the child called `name`."""
        return self.logs / f"{name}.log"

    def pid_file(self, name: str) -> Path:
        """The pid file of the child called `name`."""
        return self.pids / f"{name}.json"

    def make_server_folder(self, path: Path) -> None:
        """Make `path` (mode 0700) and give it to the uid that runs the servers."""
        path.mkdir(mode=0o700, exist_ok=True)
        self.give_to_server(path)

    def give_to_server(self, path: Path) -> None:
        """Make the servers' uid the owner of `path`; nothing to do when not root."""
        if self.server_uid is not None:
            os.chown(path, self.server_uid, self.server_uid)


def prepare(root: Path) -> DataFolder:
    """Make what is missing of the data folder `root` and return it.

    Raises `EmbeddedError` naming the folder where it cannot be written, belongs to another user,
    or cannot be reached by the unprivileged uid of the servers.
    """
    root = root.resolve()
    server_uid = NOBODY if os.geteuid() == 0 else None
    folder = DataFolder(root, server_uid)
    try:
        _make_parents(root)
        for path in (folder.run, folder.pids, folder.logs):
            path.mkdir(mode=0o700, exist_ok=True)
        probe = folder.run / f".write-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise EmbeddedError(
            f"the data folder cannot be written: {error.strerror}",
            field="TRACKER_DATA_DIR",
            value=root,
            mend="set TRACKER_DATA_DIR to a folder that this user may write",
        ) from error
    _check_owner(folder)
    if server_uid is not None:
        _check_reachable(root, server_uid)
    return folder


def secret(path: Path) -> str:
    """The secret kept in `path`, made (mode 0600, 192 random bits) where there is none yet.

    Raises `EmbeddedError` where the file is empty. The caller holds the folder's lock.
    """
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24) + "\n")
    text = path.read_text("ascii").strip()
    if not text:
        raise EmbeddedError(
            "the password file is empty",
            field="file",
            value=path,
            mend="put it back from a copy of the data folder",
        )
    return text


def write_private(path: Path, text: str) -> None:
    """Write `path` with mode 0600, whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)


def _make_parents(root: Path) -> None:
    """`root` and its missing parents, passable (not readable) for the servers' uid under root.

    The mode is set apart from mkdir, or a umask of 077 would shut that uid out.
    """
    missing = [path for path in (root, *root.parents) if not path.exists()]
    mode = 0o711 if os.geteuid() == 0 else 0o700
    for path in reversed(missing):
        path.mkdir()
        path.chmod(mode if path == root else 0o755)
    if not root.is_dir():
        raise NotADirectoryError(20, "it is a file, not a folder", str(root))


def _check_owner(folder: DataFolder) -> None:
    """Refuse to mix users: files of two owners in one data folder would shut one of them out."""
    if not folder.postgres.exists():
        return
    owner = folder.postgres.stat().st_uid
    expected = os.geteuid() if folder.server_uid is None else folder.server_uid
    if owner != expected:
        was = "root" if owner == NOBODY else f"the user with uid {owner}"
        raise EmbeddedError(
            f"the data folder was made by {was}",
            field="TRACKER_DATA_DIR",
            value=folder.root,
            mend=f"start as {was}, or set TRACKER_DATA_DIR to another folder",
        )


def _check_reachable(root: Path, uid: int) -> None:
    for path in (root, *root.parents):
        status = path.stat()
        bit = stat.S_IXUSR if status.st_uid == uid else stat.S_IXOTH
        if not status.st_mode & bit:
            raise EmbeddedError(
                f"the servers run as uid {uid}, which cannot pass through {path}",
                field="TRACKER_DATA_DIR",
                value=root,
                mend=f"choose a folder outside {path}, run as an ordinary user, or chmod o+x it",
            )
