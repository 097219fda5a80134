"""Ring a queue by task name. A lost ring only delays: every tick starts from the database."""

from __future__ import annotations

from typing import Protocol

# Task names by queue; `workers` registers one function for each.
SCAN_BITCOIN = "scan.bitcoin"
PUBLISH = "publish"
DELIVER = "deliver"
DETECT = "detect"


class Doorbell(Protocol):
    """Whatever can wake a queue."""

    def ring(self, queue: str) -> None:
        """Wake the workers of `queue`; never raises, since a tick follows anyway."""


class Silent:
    """A doorbell for processes without a broker: the next tick does the work."""

    def ring(self, queue: str) -> None:
        """Do nothing."""
