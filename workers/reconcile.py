"""Queue `reconcile`: ledger against the chain's own balances."""

from __future__ import annotations

from tracker import doorbell
from workers import runtime
from workers.app import app


@app.task(name=doorbell.RECONCILE)  # type: ignore[untyped-decorator]
def reconcile() -> None:
    """Probe what is due on every chain."""
    services = runtime.services()
    if services.reconcile():
        services.doorbell.ring(doorbell.RECONCILE)
