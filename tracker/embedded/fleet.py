"""The children of `tracker up`: two worker pools, beat and the API, as anybody could start them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping

from tracker.config import Settings
from tracker.embedded.child import Child
from tracker.embedded.folder import DataFolder
from tracker.embedded.servers import ServerUrls

# The head of the chain and the webhooks never wait behind backfill or a slow filing.
HEAD_QUEUES = ("scan.bitcoin", "scan.ethereum", "publish", "deliver")
BULK_QUEUES = ("detect", "value", "market", "filings", "reconcile", "backfill", "maintain")

# TERM lets running tasks end, QUIT cuts them short; a task cut short is done again from the
# database, so both are safe.
_WORKER_STOP = ((signal.SIGTERM, 4.0), (signal.SIGQUIT, 2.0))


def fleet(settings: Settings, folder: DataFolder, urls: ServerUrls) -> tuple[Child, ...]:
    """Descriptions of the children, pointed at the servers in `urls`; the API first."""
    environment = child_environment(settings, urls)
    # An interpreter option nobody reads, so that `ps` and the next start can tell which
    # installation a process belongs to.
    python = (sys.executable, "-X", f"tracker={folder.root}", "-m")
    worker = (*python, "celery", "-A", "workers", "worker", "--without-gossip", "--without-mingle")
    level = ("--loglevel", settings.log_level)
    return (
        Child(
            name="api",
            # It imports while the servers start, and listens when they and the facts are there.
            argv=(*python, "tracker.cli.main", "api", "--after", str(settings.servers_file)),
            environment=environment,
            stop=((signal.SIGTERM, 4.0),),
        ),
        Child(
            name="head",
            argv=(
                *worker,
                *("-n", "head@%h", "-Q", ",".join(HEAD_QUEUES)),
                *("--concurrency", str(settings.head_concurrency), *level),
            ),
            environment=environment,
            stop=_WORKER_STOP,
        ),
        Child(
            name="bulk",
            argv=(
                *worker,
                *("-n", "bulk@%h", "-Q", ",".join(BULK_QUEUES)),
                *("--concurrency", str(settings.bulk_concurrency), *level),
            ),
            environment=environment,
            stop=_WORKER_STOP,
        ),
        Child(
            name="beat",
            argv=(
                *(*python, "celery", "-A", "workers", "beat"),
                *("-s", str(folder.run / "beat-schedule"), *level),
            ),
            environment=environment,
        ),
    )


def child_environment(settings: Settings, urls: ServerUrls) -> Mapping[str, str]:
    """Our own environment with this installation's addresses, which win over a settings file."""
    return {
        **os.environ,
        "TRACKER_DATA_DIR": str(settings.data_dir.resolve()),
        "TRACKER_HOST": settings.host,
        "TRACKER_PORT": str(settings.port),
        "TRACKER_DATABASE_URL": urls.database_url,
        "TRACKER_REDIS_URL": urls.redis_url,
        "PYTHONUNBUFFERED": "1",
        "C_FORCE_ROOT": "1",  # only JSON is taken from the broker, so root runs no foreign code
    }
