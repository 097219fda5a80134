"""The worker fleet: the Celery application, its queues and one short module a queue."""

from workers.app import app

__all__ = ["app"]
