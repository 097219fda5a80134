"""Queue `publish`: number the new events and hand them to the endpoints."""

from __future__ import annotations

from tracker import doorbell
from tracker.events.publish import publish_pending
from workers import runtime
from workers.app import app


@app.task(name=doorbell.PUBLISH)  # type: ignore[untyped-decorator]
def publish() -> None:
    """Publish until nothing is pending, then wake the deliverers."""
    services = runtime.services()
    published = 0
    while True:
        with services.database.transaction() as session:
            count = publish_pending(session, now=services.clock())
        published += count
        if not count:
            break
    if published:
        services.doorbell.ring(doorbell.DELIVER)
