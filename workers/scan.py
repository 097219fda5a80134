"""Queues `scan.bitcoin` and `scan.ethereum`: one tick of a chain's head each."""

from __future__ import annotations

from tracker import doorbell
from tracker.errors import TrackerError
from tracker.log import get_logger
from tracker.scanning.chain_scan import TickReport
from workers import runtime
from workers.app import app

log = get_logger(__name__)


@app.task(name=doorbell.SCAN_BITCOIN)  # type: ignore[untyped-decorator]
def scan_bitcoin() -> None:
    """Apply what is new; ring again at once while the tip is ahead."""
    _scan("bitcoin", doorbell.SCAN_BITCOIN)


@app.task(name=doorbell.SCAN_ETHEREUM)  # type: ignore[untyped-decorator]
def scan_ethereum() -> None:
    """Apply what is new; ring again at once while the tip is ahead."""
    _scan("ethereum", doorbell.SCAN_ETHEREUM)


def _scan(chain: str, queue: str) -> None:
    services = runtime.services()
    if chain not in services.chains:
        return
    report = TickReport()
    try:
        try:
            report = runtime.scan(chain).tick()
        finally:
            services.save_sources(chain)
    except TrackerError as error:
        log.warning("scan_waits", chain=chain, error=str(error))
    if report.applied or report.orphaned:
        log.info(
            "scanned",
            chain=chain,
            height=report.height,
            applied=report.applied,
            orphaned=report.orphaned,
            alerts=report.alerts,
        )
    if report.more:
        services.doorbell.ring(queue)
