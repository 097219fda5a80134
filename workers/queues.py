"""The queues: by chain and by latency class, so that bulk work never starves the head."""

from __future__ import annotations

from kombu.entity import Queue

HEAD = ("scan.bitcoin", "scan.ethereum", "publish", "deliver")
BULK = ("detect", "value", "market", "filings", "reconcile", "backfill", "maintain")

QUEUES = tuple(
    Queue(name, routing_key=name)  # type: ignore[no-untyped-call]
    for name in HEAD + BULK
)
