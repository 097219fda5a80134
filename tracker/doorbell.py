"""Ring a queue by task name. A lost ring only delays: every tick starts from the database."""

from __future__ import annotations

from typing import Any, Protocol

from tracker.log import get_logger

# Task names; each is its queue's tick, and `workers` registers one function for each.
SCAN_BITCOIN = "scan.bitcoin"
SCAN_ETHEREUM = "scan.ethereum"
PUBLISH = "publish"
DELIVER = "deliver"
DETECT = "detect"
MARKET = "market"
RECONCILE = "reconcile"
BACKFILL = "backfill"
TICKS = (
    SCAN_BITCOIN, SCAN_ETHEREUM, PUBLISH, DELIVER, DETECT, MARKET, RECONCILE, BACKFILL,
)  # fmt: skip

log = get_logger(__name__)


class Doorbell(Protocol):
    """Whatever can wake a queue."""

    def ring(self, queue: str) -> None:
        """Wake the workers of `queue`; never raises, since a tick follows anyway."""


class Silent:
    """A doorbell for processes without a broker: the next tick does the work."""

    def ring(self, queue: str) -> None:
        """Do nothing."""


class CeleryDoorbell:
    """Sends the tick task of a queue over the broker."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._app: Any = None

    def ring(self, queue: str) -> None:
        """Send `queue`'s tick, to be forgotten if nobody takes it within a minute."""
        from celery import Celery
        from kombu.exceptions import OperationalError

        if self._app is None:
            self._app = Celery("doorbell", broker=self._broker_url)
            self._app.conf.broker_transport_options = {
                "socket_timeout": 5,
                "socket_connect_timeout": 2,
            }
        try:
            self._app.send_task(queue, queue=queue, expires=60, retry=False, ignore_result=True)
        except OperationalError as error:
            log.info("doorbell_lost", queue=queue, error=type(error).__name__)
