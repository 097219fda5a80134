"""A real API over a real database, on a port that the system gives, for tests."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
import uvicorn

from tracker.bootstrap import Services
from tracker.config import Settings
from tracker.dashboard.site import create_site
from tracker.db import Database
from tracker.doorbell import Silent
from tracker.operations.keys import ensure_admin_key

# When the tests' world is: all bundled facts lie before it.
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
_START_SECONDS = 20


def services_for(
    database_url: str,
    data_dir: Path,
    *,
    clock: Callable[[], datetime] = lambda: NOW,
    **settings: Any,
) -> Services:
    """Services over `database_url` with a writing key in the data folder; no broker rings."""
    made = Settings(database_url=database_url, data_dir=data_dir, live_quotes=False, **settings)
    services = Services(made, Database(database_url), Silent(), clock)
    with services.database.transaction() as session:
        ensure_admin_key(made, session, clock())
    return services


class Api:
    """A running API and a session that talks to it."""

    def __init__(self, url: str, services: Services) -> None:
        self.url = url
        self.services = services
        self.key = services.settings.key_file.read_text().strip()
        self.http = requests.Session()
        self.http.trust_env = False

    def request(self, method: str, path: str, **given: Any) -> requests.Response:
        return self.http.request(
            method, self.url + path, timeout=30, allow_redirects=False, **given
        )

    def get(self, path: str, **given: Any) -> Any:
        """The JSON of a read that must succeed."""
        reply = self.request("GET", path, **given)
        assert reply.status_code == 200, (path, reply.status_code, reply.text)
        return reply.json()

    def write(self, method: str, path: str, **given: Any) -> requests.Response:
        """A write with the local key."""
        headers = {"Authorization": f"Bearer {self.key}", **given.pop("headers", {})}
        return self.request(method, path, headers=headers, **given)


@contextmanager
def running_api(services: Services) -> Iterator[Api]:
    """The site of `services` served on loopback until the block ends."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            create_site(services),
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=2,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not server.started:
            assert thread.is_alive(), "the server ended at start"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        yield Api(f"http://127.0.0.1:{listener.getsockname()[1]}", services)
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
        services.database.dispose()
