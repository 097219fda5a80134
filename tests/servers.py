"""One real PostgreSQL and one real Valkey for a whole test run, shared by its xdist workers.

The run's main process owns a folder, locked for as long as it lives. The first test that needs
servers starts them there; the main process stops them at its end. A folder whose owner is gone
belongs to a run that was killed: the next run stops its servers and removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import redis
from psycopg import sql
from sqlalchemy import make_url

from tracker.embedded import folder as folders
from tracker.embedded import reaper, sockets
from tracker.embedded.servers import (
    EmbeddedServers,
    ServerUrls,
    read_servers_file,
    write_servers_file,
)

# Without the prefix of the settings: it is no knob of the tracker.
_FOLDER_VARIABLE = "TREASURY_TESTS_FOLDER"
_TEMPLATE = "tracker_template"
_held: list[object] = []  # keeps the owner's lock and the started servers referenced


def open_run() -> None:
    """In the main process, before any worker starts: clean up after killed runs, make a folder."""
    base = Path(tempfile.gettempdir()) / f"tracker-tests-{os.geteuid()}"
    base.mkdir(exist_ok=True)
    status = base.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise RuntimeError(f"{base} belongs to somebody else")
    base.chmod(0o711)  # the servers' unprivileged uid passes through
    with _locked(base / "lock"):
        for other in base.iterdir():
            if other.is_dir() and (owner := _try_lock(other / "owner")) is not None:
                _remove(other)
                os.close(owner)
        run = Path(tempfile.mkdtemp(prefix="run-", dir=base))
        run.chmod(0o711)
        _held.append(_try_lock(run / "owner"))
    os.environ[_FOLDER_VARIABLE] = str(run)


def close_run() -> None:
    """In the main process, after the last worker: stop the servers and remove the folder."""
    _remove(Path(os.environ.pop(_FOLDER_VARIABLE)))


def shared_servers() -> ServerUrls:
    """The run's servers, started by whoever asks first; their template database is migrated."""
    from tracker.db import migrate  # a second of imports that most runs of few tests do without

    run = Path(os.environ[_FOLDER_VARIABLE])
    addresses = run / "servers.json"
    with _locked(run / "start"):
        if not addresses.exists():
            servers = EmbeddedServers(run / "data", durable=False)
            urls = servers.start()
            _held.append(servers)
            _execute(urls, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
            migrate.upgrade(_with_database(urls, _TEMPLATE))
            write_servers_file(addresses, urls, api="", pid=os.getpid())
    return read_servers_file(addresses)


@contextmanager
def fresh_database(urls: ServerUrls, name: str) -> Iterator[str]:
    """The URL of a migrated database without rows, dropped at the end."""
    with empty_database(urls, name, template=_TEMPLATE) as url:
        yield url


@contextmanager
def empty_database(urls: ServerUrls, name: str, *, template: str = "template0") -> Iterator[str]:
    """The URL of a database without tables, dropped at the end."""
    database = sql.Identifier(name)
    _execute(
        urls,
        sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
            database, sql.Identifier(template)
        ),
    )
    try:
        yield _with_database(urls, name)
    finally:
        _execute(urls, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))


def redis_client(url: str) -> redis.Redis:
    """A client for the address in Celery's form, `redis+socket://:password@/path?virtual_host=N`."""
    parts = make_url(url)
    return redis.Redis(
        unix_socket_path=f"/{parts.database}",
        db=int(str(parts.query["virtual_host"])),
        password=None if parts.password is None else str(parts.password),
    )


def numbered(url: str, number: int) -> str:
    """The same server's database `number`."""
    return url.replace("virtual_host=0", f"virtual_host={number}")


def worker_number() -> int:
    """0 without xdist, else 1 and up: one for each worker process of this run."""
    name = os.environ.get("PYTEST_XDIST_WORKER", "")
    return int(name.removeprefix("gw")) + 1 if name else 0


def _with_database(urls: ServerUrls, name: str) -> str:
    return make_url(urls.database_url).set(database=name).render_as_string(hide_password=False)


def _execute(urls: ServerUrls, statement: sql.Composed) -> None:
    dsn = urls.database_url.replace("postgresql+psycopg", "postgresql", 1)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement)


def _remove(run: Path) -> None:
    data = run / "data"
    if data.exists():
        folder = folders.prepare(data)
        # The folder's lock may still be held by the very process that stops the servers here.
        reaper.reap(folder)
        sockets.remove(sockets.make(folder))
    shutil.rmtree(run)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _try_lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
