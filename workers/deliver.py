"""Queue `deliver`: POST what is due."""

from __future__ import annotations

from tracker import doorbell
from workers import runtime
from workers.app import app


@app.task(name=doorbell.DELIVER)  # type: ignore[untyped-decorator]
def deliver() -> None:
    """Deliver what is due now; what fails is due again later, in the database."""
    runtime.services().deliver_due()
