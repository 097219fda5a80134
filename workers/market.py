"""Queue `market`: live quotes."""

from __future__ import annotations

from tracker import doorbell
from workers import runtime
from workers.app import app


@app.task(name=doorbell.MARKET)  # type: ignore[untyped-decorator]
def market() -> None:
    """Ask every venue once."""
    runtime.services().market_tick()
