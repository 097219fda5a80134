"""The pair of embedded servers, and the file in which other commands find them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tracker.embedded import folder as folders
from tracker.embedded import programs, reaper, sockets
from tracker.embedded.folder import DataFolder
from tracker.embedded.lock import FolderLock
from tracker.embedded.postgres import Postgres
from tracker.embedded.supervised import Supervised, stop_all
from tracker.embedded.valkey import Valkey
from tracker.errors import EmbeddedError


@dataclass(frozen=True, slots=True)
class ServerUrls:
    """Addresses with passwords: for environments and drivers, never for a log."""

    database_url: str
    redis_url: str


class EmbeddedServers:
    """PostgreSQL and Valkey of one data folder, each left out where an own server is given.

    Holds the folder's lock from `claim` (or `start`) to `stop`. Without Valkey the broker's address
    is empty. `durable=False` gives servers for a run whose data nobody keeps.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        database_url: str = "",
        redis_url: str = "",
        with_valkey: bool = True,
        durable: bool = True,
    ) -> None:
        self._own = ServerUrls(database_url, redis_url)
        self._with_valkey = with_valkey and not redis_url
        self._durable = durable
        self._sockets: Path | None = None
        self.folder: DataFolder = folders.prepare(data_dir)
        self._lock = FolderLock(self.folder.run / "lock")
        self._claimed = False
        self.supervised: list[Supervised] = []

    def claim(self, purpose: str) -> tuple[str, ...]:
        """Take the folder's lock and stop what an earlier crash left running: its names.

        Raises `EmbeddedError` saying who holds the folder.
        """
        self._lock.take(purpose)
        self._claimed = True
        return reaper.reap(self.folder)

    def try_claim(self, purpose: str) -> bool:
        """As `claim`, but False where another process holds the folder."""
        if not self._lock.try_take(purpose):
            return False
        self._claimed = True
        reaper.reap(self.folder)
        return True

    def holder(self) -> str:
        """Who holds the folder, for people."""
        return self._lock.holder()

    def start(self, addressed: Callable[[ServerUrls], None] | None = None) -> ServerUrls:
        """Start the servers, wait until they answer, and return the addresses to use.

        `addressed` is called with the addresses as soon as they are settled, before anything
        answers there. Raises `EmbeddedError`; then no server is left running.
        """
        if not self._claimed:
            self.claim("embedded servers")
        try:
            return self._start(addressed or (lambda _: None))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the servers, Valkey first, and give the folder back."""
        stop_all(self.supervised)
        self.supervised = []
        if self._sockets is not None:
            sockets.remove(self._sockets)
            self._sockets = None
        self._lock.release()
        self._claimed = False

    def __enter__(self) -> ServerUrls:
        return self.start()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self, addressed: Callable[[ServerUrls], None]) -> ServerUrls:
        urls = self._own
        if urls.database_url and not self._with_valkey:
            addressed(urls)
            return urls
        self._sockets = place = sockets.make(self.folder)
        installed = programs.install(self.folder)
        valkey = Valkey(self.folder, installed, place) if self._with_valkey else None
        postgres = None
        if valkey is not None:
            valkey.prepare()
            urls = ServerUrls(urls.database_url, valkey.url)
        if not urls.database_url:
            postgres = Postgres(self.folder, installed, place, durable=self._durable)
            postgres.prepare()
            urls = ServerUrls(postgres.url, urls.redis_url)
        addressed(urls)
        waits: list[tuple[Supervised, Callable[[Callable[[], bool]], None]]] = []
        if valkey is not None:
            waits.append((self._run(valkey), valkey.wait_ready))
        if postgres is not None:
            postgres.make_cluster()
            waits.append((self._run(postgres), postgres.wait_ready))
        for supervised, wait_ready in waits:
            wait_ready(supervised.alive)
        return urls

    def _run(self, server: Postgres | Valkey) -> Supervised:
        supervised = Supervised(server.child(), self.folder)
        self.supervised.append(supervised)
        supervised.start()
        return supervised


def write_servers_file(path: Path, urls: ServerUrls, *, api: str, pid: int) -> None:
    """Leave the addresses for other commands of this installation (mode 0600)."""
    record = {
        "database_url": urls.database_url,
        "redis_url": urls.redis_url,
        "api": api,
        "pid": pid,
    }
    folders.write_private(path, json.dumps(record) + "\n")


def read_servers_file(path: Path) -> ServerUrls:
    """The addresses that a running `tracker up` left.

    Raises `EmbeddedError` where it left none, or the file cannot be understood.
    """
    try:
        with path.open("rb") as file:
            record = json.loads(file.read(20_000))
        return ServerUrls(str(record["database_url"]), str(record["redis_url"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmbeddedError(
            "the running tracker has not said yet where its servers are",
            field="file",
            value=path,
            mend="wait until `tracker up` says ready, then try again",
        ) from error
