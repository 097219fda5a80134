"""The Celery application: `celery -A workers worker -Q …`, `celery -A workers beat`.

PostgreSQL is the queue of record, so messages are acknowledged early and may be lost or doubled:
a tick reads its work from the database and another one follows. Settings and the faults that they
answer: docs/adr/0003-celery-as-doorbell.md.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_process_shutdown, worker_ready

from tracker import bootstrap, log
from tracker.config import current
from tracker.doorbell import TICKS
from workers import runtime
from workers.queues import QUEUES
from workers.schedule import beat_schedule

VISIBILITY_SECONDS = 300

settings = current()
app = Celery("treasury_tracker", broker=bootstrap.redis_url(settings))
app.conf.update(
    task_queues=QUEUES,
    task_default_queue="maintain",
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_acks_late=False,
    task_soft_time_limit=120,
    task_time_limit=150,
    worker_prefetch_multiplier=1,
    worker_max_tasks_per_child=10_000,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "visibility_timeout": VISIBILITY_SECONDS,
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "health_check_interval": 25,
        "unacked_restore_throttle": 1,
    },
    timezone="UTC",
    enable_utc=True,
    beat_schedule=beat_schedule(settings),
    imports=(
        "workers.scan",
        "workers.publish",
        "workers.deliver",
        "workers.detect",
        "workers.market",
        "workers.backfill",
        "workers.reconcile",
        "workers.canary",
    ),
)


@setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_log(**_kwargs: Any) -> None:
    log.configure(settings.log_level, json=settings.log_json)


@worker_ready.connect  # type: ignore[untyped-decorator]
def _first_ticks(sender: Any, **_kwargs: Any) -> None:
    """Look at once: beat's first tick comes only after an interval."""
    for queue in sender.task_consumer.queues:
        if queue.name in TICKS:
            app.send_task(queue.name, queue=queue.name, expires=60)
        app.send_task("canary", args=(queue.name,), queue=queue.name, expires=60)


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _close(**_kwargs: Any) -> None:
    runtime.close()
