"""When beat rings which queue. Every entry expires before the next one: doubles are harmless."""

from __future__ import annotations

from typing import Any

from tracker import doorbell
from tracker.config import Settings
from workers.queues import BULK, HEAD

CANARY_SECONDS = 30.0


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """Celery's static schedule for these settings; intervals in seconds."""
    ticks = {
        doorbell.SCAN_BITCOIN: settings.bitcoin_poll_seconds,
        doorbell.SCAN_ETHEREUM: settings.ethereum_poll_seconds,
        doorbell.PUBLISH: 2.0,
        doorbell.DELIVER: 2.0,
        doorbell.DETECT: 300.0,
        doorbell.MARKET: settings.market_poll_seconds,
        doorbell.BACKFILL: settings.backfill_poll_seconds,
        doorbell.RECONCILE: settings.reconcile_poll_seconds,
    }
    entries = {name: _entry(name, name, seconds) for name, seconds in ticks.items()}
    for queue in HEAD + BULK:
        entries[f"canary.{queue}"] = _entry("canary", queue, CANARY_SECONDS, args=(queue,))
    return entries


def _entry(task: str, queue: str, seconds: float, args: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "task": task,
        "schedule": seconds,
        "args": args,
        "options": {"queue": queue, "expires": max(1.0, seconds)},
    }
