"""Withdraw what rested on labels that are gone: reclassify, revise, retract."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlmodel import Session

from tracker.db.alerts import AlertGround
from tracker.detection import repository
from tracker.detection.lifecycle import AlertBook
from tracker.detection.news import NewsPolicy
from tracker.detection.reclassify import reclassify
from tracker.domain.intent import SALE_VENUES, Classification, Intent
from tracker.registry import repository as registry


def withdraw_labels(
    session: Session,
    chain: str,
    keys: Collection[bytes],
    wallet_ids: Collection[int],
    *,
    why: str,
    news: NewsPolicy,
    now: datetime,
) -> int:
    """Judge anew every transfer that names one of `keys` or moved coins of `wallet_ids`.

    Call it after the labels or wallets were closed, in the same transaction. Alerts that stood on
    what is no longer a sale lose that ground: a revision, or a retraction with the same id.
    Returns how many alerts changed.
    """
    ids = {row.id for row in repository.transfers_naming(session, chain, keys)}
    ids |= {row.id for row in repository.transfers_of_wallets(session, wallet_ids)}
    grounds = repository.grounds_on(session, chain, ids, keys)
    ids |= {ground.data["shown"]["transfer"] for ground in grounds}
    beliefs = {}
    for transfer_id in sorted(ids):
        if any(_sweep_stands(session, ground, transfer_id) for ground in grounds):
            continue  # its own labels say little; the sweep that explains it still does
        again = reclassify(session, transfer_id)
        beliefs[transfer_id] = None if again is None else again.belief
    lost: dict[str, list[str]] = {}
    for ground in grounds:
        if _gone(session, ground, beliefs):
            lost.setdefault(ground.alert_id, []).append(ground.ref)
    book = AlertBook(session, news, now)
    for alert_id, refs in sorted(lost.items()):
        alert = repository.find_alert(session, alert_id)
        if alert is None:
            continue
        repository.lock_entity(session, alert.entity_id)
        entity = registry.entities_by_id(session, [alert.entity_id])[alert.entity_id]
        book.withdraw(alert, entity, refs, why)
    return len(lost)


def _venue_known(session: Session, ground: AlertGround) -> bool:
    key = bytes.fromhex(ground.data["shown"]["venue_key"])
    label = registry.labels_for(session, ground.chain or "", [key]).get(key)
    return label is not None and label.category in SALE_VENUES


def _sweep_stands(session: Session, ground: AlertGround, transfer_id: str) -> bool:
    shown = ground.data["shown"]
    return (
        "origin" in shown
        and shown["transfer"] == transfer_id
        and _venue_known(session, ground)
        and repository.wallets_open(session, transfer_id)
    )


def _gone(session: Session, ground: AlertGround, beliefs: dict[str, Classification | None]) -> bool:
    shown = ground.data["shown"]
    if shown["transfer"] not in beliefs:
        return False
    belief = beliefs[shown["transfer"]]
    if "origin" in shown:
        return belief is None or not _venue_known(session, ground)
    return belief is None or belief.intent is not Intent.SALE
