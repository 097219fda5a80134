"""Queue `detect`: rules that look at windows and facts rather than at one block."""

from __future__ import annotations

from tracker import doorbell
from workers import runtime
from workers.app import app


@app.task(name=doorbell.DETECT)  # type: ignore[untyped-decorator]
def detect() -> None:
    """Bring the alerts that rest on disclosures in line with the facts."""
    services = runtime.services()
    if services.evaluate_disclosures():
        services.doorbell.ring(doorbell.PUBLISH)
