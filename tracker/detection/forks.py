"""Alerts through a reorganisation: suspended with their ground, settled by the new branch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from tracker.db.alerts import AlertGround
from tracker.detection import repository
from tracker.detection.clips import clip_of
from tracker.detection.lifecycle import AlertBook
from tracker.detection.news import NewsPolicy
from tracker.detection.reclassify import reclassify
from tracker.domain.chain import BlockRef
from tracker.domain.intent import Classification, Intent
from tracker.ledger import repository as ledger
from tracker.registry import repository as registry


def suspend(
    session: Session, chain: str, orphaned: Sequence[bytes], *, news: NewsPolicy, now: datetime
) -> int:
    """Suspend every alert that stands on an orphaned block; returns how many.

    An outflow that was taken for a sale because of an orphaned sweep is judged anew, unless other
    coins of it were swept in a block that stands.
    """
    grounds = repository.grounds_in_blocks(session, chain, orphaned)
    explained: set[str] = set()
    by_alert: dict[str, list[str]] = {}
    heights: dict[str, int] = {}
    for ground in grounds:
        by_alert.setdefault(ground.alert_id, []).append(ground.ref)
        heights[ground.alert_id] = max(heights.get(ground.alert_id, 0), ground.height or 0)
        if "origin" in ground.data["shown"]:
            explained.add(ground.data["shown"]["transfer"])
    book = AlertBook(session, news, now)
    for alert_id in sorted(by_alert):
        alert = repository.find_alert(session, alert_id)
        if alert is not None:
            book.suspend(alert, by_alert[alert_id], heights[alert_id])
    for transfer_id in sorted(explained):
        others = repository.grounds_on(session, chain, [transfer_id], [])
        if others:
            newest = max(others, key=lambda ground: (clip_of(ground.data).at, ground.ref))
            ledger.believe(session, transfer_id, _belief(newest))
        else:
            reclassify(session, transfer_id)
    return len(by_alert)


def _belief(ground: AlertGround) -> Classification:
    clip = clip_of(ground.data)
    return Classification(Intent(clip.intent), clip.probability, clip.evidence)


def settle(
    session: Session, chain: str, block: BlockRef, *, news: NewsPolicy, now: datetime
) -> int:
    """Revise or retract what the new branch, at `block`, left without ground; returns how many."""
    alerts = repository.suspended_at_or_below(session, chain, block.height)
    entities = registry.entities_by_id(session, {alert.entity_id for alert in alerts})
    book = AlertBook(session, news, now)
    for alert in alerts:
        book.settle(alert, entities[alert.entity_id], block.time)
    return len(alerts)
