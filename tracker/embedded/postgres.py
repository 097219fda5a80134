"""The embedded PostgreSQL: one cluster in the data folder, on a Unix socket, behind a password."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from tracker.embedded import logfile
from tracker.embedded.child import Child
from tracker.embedded.folder import DataFolder, secret
from tracker.embedded.programs import Programs
from tracker.errors import EmbeddedError

NAME = "postgres"
_ROLE = "tracker"
_DATABASE = "tracker"
_PORT = 5432  # names the socket only: nothing listens on TCP
_INIT_SECONDS = 120.0
_READY_SECONDS = 120.0  # crash recovery replays the log first
_LOOK_SECONDS = 0.02

# PGDATA, PGPORT and their kin in a user's shell must not reach the server.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C", "LC_ALL": "C", "TZ": "UTC"}

# For servers whose data nobody needs after the run: no write waits for the disk.
_NOT_DURABLE = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


class Postgres:
    """Prepares the cluster, describes the server's process, and says when it answers."""

    def __init__(
        self, folder: DataFolder, programs: Programs, sockets: Path, *, durable: bool = True
    ) -> None:
        self._folder = folder
        self._programs = programs
        self._sockets = sockets
        self._durable = durable
        self._password = ""

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the tracker's database, with its password; `prepare` comes first."""
        return (
            f"postgresql+psycopg://{_ROLE}:{self._password}@/{_DATABASE}"
            f"?host={self._sockets}&port={_PORT}"
        )

    def prepare(self) -> None:
        """Settle the password, and so the address, and check the cluster that is there.

        Raises `EmbeddedError` where it is of another major version or its password is lost.
        """
        data = self._folder.postgres
        password_file = self._folder.root / "postgres.password"
        check_major(data, self._programs.postgres_major)
        if data.exists() and not password_file.exists():
            raise EmbeddedError(
                "the database's password file is missing",
                field="file",
                value=password_file,
                mend="put it back from a copy of the data folder",
            )
        self._password = secret(password_file)

    def make_cluster(self) -> None:
        """Make the cluster where there is none (UTF-8, C locale, data checksums).

        Raises `EmbeddedError` where `initdb` fails.
        """
        if not self._folder.postgres.exists():
            self._make_cluster(self._folder.postgres)

    def child(self) -> Child:
        """The server's process; SIGINT is its fast stop, while SIGTERM waits for idle clients."""
        options = {
            "listen_addresses": "",
            "port": str(_PORT),
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "log_line_prefix": "%m [%p] ",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return Child(
            name=NAME,
            argv=(
                str(self._programs.postgres_bin / "postgres"),
                "-D",
                str(self._folder.postgres),
                *settings,
                *(() if self._durable else _NOT_DURABLE),
            ),
            environment=_ENVIRONMENT,
            stop=((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0)),
            stop_order=2,
            uid=self._folder.server_uid,
            directory="/",
        )

    def wait_ready(self, alive: Callable[[], bool]) -> None:
        """Return when the database answers.

        Raises `EmbeddedError` with the log's end if the server dies or takes two minutes.
        """
        deadline = time.monotonic() + _READY_SECONDS
        dsn = self.url.replace("postgresql+psycopg", "postgresql", 1)
        while True:
            try:
                psycopg.connect(dsn, connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if alive() and time.monotonic() < deadline:
                    time.sleep(_LOOK_SECONDS)
                    continue
                log = self._folder.log_of(NAME)
                raise EmbeddedError(
                    f"the embedded PostgreSQL does not answer: {logfile.tail(log) or error}",
                    field="log",
                    value=log,
                    mend="read the log; free disk space or memory if that is what it says",
                ) from error
            else:
                return

    def _make_cluster(self, data: Path) -> None:
        """`initdb` beside the final place, then one rename: a crash leaves no half-made cluster."""
        part = data.with_name("postgres.part")
        password_copy = data.with_name("postgres.part.password")
        shutil.rmtree(part, ignore_errors=True)
        self._folder.make_server_folder(part)
        password_copy.unlink(missing_ok=True)
        password_copy.touch(mode=0o600)
        password_copy.write_text(self._password + "\n", "ascii")
        self._folder.give_to_server(password_copy)
        try:
            self._run(
                "initdb",
                f"--pgdata={part}",
                f"--username={_ROLE}",
                f"--pwfile={password_copy}",
                "--encoding=UTF8",
                "--no-locale",
                "--data-checksums",
                "--auth-local=scram-sha-256",
                "--auth-host=reject",
                *(() if self._durable else ("--no-sync",)),
            )
        finally:
            password_copy.unlink()
        # Single-user mode needs neither a running server nor a password.
        self._run(
            "postgres",
            "--single",
            "-D",
            str(part),
            *(() if self._durable else _NOT_DURABLE),
            "postgres",
            text=f"CREATE DATABASE {_DATABASE}\n",
        )
        part.rename(data)

    def _run(self, program: str, *arguments: str, text: str = "") -> None:
        uid = self._folder.server_uid
        try:
            done = subprocess.run(  # noqa: S603  the argument list is our own
                [str(self._programs.postgres_bin / program), *arguments],
                input=text.encode(),
                capture_output=True,
                check=False,
                timeout=_INIT_SECONDS,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
                umask=0o077,
                user=uid,
                group=uid,
                extra_groups=None if uid is None else [],
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EmbeddedError(
                f"{program} cannot run: {error}",
                field="TRACKER_DATA_DIR",
                value=self._folder.root,
                mend="check that the data folder's file system allows running programs",
            ) from error
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
            raise EmbeddedError(
                f"{program} failed: {said[-1000:]}",
                field="TRACKER_DATA_DIR",
                value=self._folder.root,
                mend="mend what it says, then start again; nothing was left half-made",
            )


def check_major(data: Path, bundled: int) -> None:
    """Refuse a cluster of another PostgreSQL major version, whose files this one cannot read.

    Raises `EmbeddedError` with the way over: backup with the old version, restore with the new.
    """
    version_file = data / "PG_VERSION"
    if not data.exists():
        return
    text = version_file.read_text("ascii").strip() if version_file.exists() else "unknown"
    if text != str(bundled):
        raise EmbeddedError(
            f"the data folder holds a PostgreSQL {text} cluster; bundled is PostgreSQL {bundled}",
            field="TRACKER_DATA_DIR",
            value=data,
            mend="install the tracker version that made it, run `tracker backup FILE`, install "
            "this version again, move that folder away, and run `tracker restore FILE`",
        )
