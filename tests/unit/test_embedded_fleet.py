"""The children of `tracker up`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tracker.config import Settings
from tracker.embedded.child import Child
from tracker.embedded.fleet import BULK_QUEUES, HEAD_QUEUES, fleet
from tracker.embedded.folder import DataFolder
from tracker.embedded.servers import ServerUrls

ROOT = Path(__file__).resolve().parents[2]
LIST_QUEUES = """
import json
from workers.queues import QUEUES
print(json.dumps([queue.name for queue in QUEUES]))
"""
URLS = ServerUrls("postgresql+psycopg://tracker:db-secret@/tracker", "redis+socket://:mq-secret@/s")


@pytest.fixture
def children(tmp_path: Path) -> dict[str, Child]:
    settings = Settings(data_dir=tmp_path, port=4711, head_concurrency=3)
    return {child.name: child for child in fleet(settings, DataFolder(tmp_path, None), URLS)}


def test_every_queue_of_the_workers_has_one_pool() -> None:
    listed = subprocess.run(
        [sys.executable, "-c", LIST_QUEUES],
        cwd=ROOT,
        env={**os.environ, "TRACKER_REDIS_URL": "redis://127.0.0.1:1/0"},
        check=True,
        capture_output=True,
        timeout=60,
    )
    served = [*HEAD_QUEUES, *BULK_QUEUES]
    assert sorted(json.loads(listed.stdout)) == sorted(served)
    assert len(served) == len(set(served))


def test_children_get_the_addresses_by_environment_and_never_by_command_line(
    children: dict[str, Child], tmp_path: Path
) -> None:
    assert list(children) == ["api", "head", "bulk", "beat"]
    for child in children.values():
        assert child.environment["TRACKER_DATABASE_URL"] == URLS.database_url
        assert child.environment["TRACKER_REDIS_URL"] == URLS.redis_url
        assert child.environment["TRACKER_PORT"] == "4711"
        assert child.environment["TRACKER_DATA_DIR"] == str(tmp_path)
        assert "secret" not in " ".join(child.argv) + repr(child)


def test_a_process_list_tells_installations_apart(
    children: dict[str, Child], tmp_path: Path
) -> None:
    for child in children.values():
        assert f"tracker={tmp_path}" in child.argv


def test_pools_have_their_size_and_stop_within_ten_seconds(children: dict[str, Child]) -> None:
    head = children["head"].argv
    assert head[head.index("--concurrency") + 1] == "3"
    assert head[head.index("-Q") + 1] == "scan.bitcoin,scan.ethereum,publish,deliver"
    for child in children.values():
        assert child.stop[0][0] is signal.SIGTERM
        assert sum(seconds for _, seconds in child.stop) <= 7
