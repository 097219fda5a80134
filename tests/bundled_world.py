"""A database that holds the bundled registry and facts, as after the first start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from tests import servers as running
from tracker.db import Database
from tracker.embedded.servers import ServerUrls
from tracker.facts.sync import sync_facts
from tracker.registry.sync import sync_registry

FIRST_START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@contextmanager
def bundled_world(servers: ServerUrls, name: str) -> Iterator[Database]:
    """A fresh database with everything bundled; `name` is unique among tests of the run."""
    with running.fresh_database(servers, f"{name}_{running.worker_number()}") as url:
        database = Database(url)
        try:
            with database.transaction() as session:
                sync_registry(session, now=FIRST_START)
                sync_facts(session, now=FIRST_START)
            yield database
        finally:
            database.dispose()
