"""A trivial task on every queue: its heartbeat proves that the queue is served."""

from __future__ import annotations

from tracker.operations import repository
from workers import runtime
from workers.app import app


@app.task(name="canary")  # type: ignore[untyped-decorator]
def canary(queue: str) -> None:
    """Note that `queue` runs tasks."""
    services = runtime.services()
    with services.database.transaction() as session:
        repository.beat(session, queue, services.clock())
