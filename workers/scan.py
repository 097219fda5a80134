"""Queue `scan.bitcoin`: one tick of the chain's head."""

from __future__ import annotations

from tracker import doorbell
from tracker.errors import TrackerError
from tracker.log import get_logger
from tracker.scanning.bitcoin import TickReport
from workers import runtime
from workers.app import app

log = get_logger(__name__)


@app.task(name=doorbell.SCAN_BITCOIN)  # type: ignore[untyped-decorator]
def scan_bitcoin() -> None:
    """Apply what is new; ring again at once while the tip is ahead."""
    services = runtime.services()
    report = TickReport()
    try:
        try:
            report = runtime.bitcoin_scan().tick()
        finally:
            services.save_bitcoin_sources()
    except TrackerError as error:
        log.warning("scan_waits", chain="bitcoin", error=str(error))
    if report.applied or report.orphaned:
        log.info(
            "scanned",
            chain="bitcoin",
            height=report.height,
            applied=report.applied,
            orphaned=report.orphaned,
            alerts=report.alerts,
        )
    if report.more:
        services.doorbell.ring(doorbell.SCAN_BITCOIN)
