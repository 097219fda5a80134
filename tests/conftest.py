"""Fixtures of the whole suite: real servers, a fresh database for each test that asks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests import servers as running
from tracker.embedded.servers import ServerUrls

if TYPE_CHECKING:
    from tests.anvil import Anvil

_numbers = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    """The main process makes the run's folder before any worker starts."""
    if not hasattr(config, "workerinput"):
        running.open_run()
        config.add_cleanup(running.close_run)


@pytest.fixture(scope="session")
def servers() -> ServerUrls:
    """The addresses of the run's PostgreSQL and Valkey."""
    return running.shared_servers()


@pytest.fixture
def postgres_url(servers: ServerUrls) -> Iterator[str]:
    """The URL of a migrated database without rows, for this test alone."""
    name = f"test_{running.worker_number()}_{next(_numbers)}"
    with running.fresh_database(servers, name) as url:
        yield url


@pytest.fixture
def redis_url(servers: ServerUrls) -> str:
    """The URL of an empty numbered database of Valkey, for this worker process alone."""
    url = running.numbered(servers.redis_url, running.worker_number())
    with running.redis_client(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    """A fresh Ethereum node of chain 1, for this test alone."""
    from tests import anvil as ethereum  # half a second of imports that most runs do without

    with ethereum.run(chain_id=1) as node:
        yield node
