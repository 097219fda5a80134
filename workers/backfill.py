"""Queue `backfill`: openings of new wallets, ranges of old blocks, senders that blocks hide."""

from __future__ import annotations

from tracker import doorbell
from tracker.errors import TrackerError
from tracker.log import get_logger
from workers import runtime
from workers.app import app

SLICE_SECONDS = 8.0
# A node's scan of all unspent outputs takes minutes.
LONGEST_SECONDS = 3600

log = get_logger(__name__)


@app.task(  # type: ignore[untyped-decorator]
    name=doorbell.BACKFILL, soft_time_limit=LONGEST_SECONDS, time_limit=LONGEST_SECONDS + 60
)
def backfill() -> None:
    """Open what waits and read on; ring again at once while there is more."""
    services = runtime.services()
    more = False
    for chain in services.chains:
        try:
            opened = runtime.openings(chain).tick()
            more = more or opened.more
            read = runtime.backfill(chain).slice(SLICE_SECONDS)
            more = more or read.more
            if chain == "bitcoin":
                more = runtime.senders().tick().more or more
        except TrackerError as error:
            log.warning("backfill_waits", chain=chain, error=str(error))
    if more:
        services.doorbell.ring(doorbell.BACKFILL)
