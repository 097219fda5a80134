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
from tracker.registry.replacement import Removal


def withdraw(
    session: Session, removal: Removal, *, why: str, news: NewsPolicy, now: datetime
) -> int:
    """Judge anew what rested on the labels and wallets that `removal` closed.

    Call it after they were closed, in the same transaction. Alerts that stood on what is no longer
    a sale lose that ground: a revision, or a retraction with the same id. Returns how many alerts
    changed.
    """
    chains = sorted({item.chain for item in (*removal.labels, *removal.wallets)})
    return sum(
        _withdraw(
            session,
            chain,
            labels={item.key for item in removal.labels if item.chain == chain},
            wallets={item.key for item in removal.wallets if item.chain == chain},
            why=why,
            book=AlertBook(session, news, now),
        )
        for chain in chains
    )


def _withdraw(
    session: Session,
    chain: str,
    *,
    labels: Collection[bytes],
    wallets: Collection[bytes],
    why: str,
    book: AlertBook,
) -> int:
    repository.hold_scan(session, chain)  # a block in flight may still be judged by them
    ids = {row.id for row in repository.transfers_naming(session, chain, labels)}
    ids |= {row.id for row in repository.transfers_of_wallets(session, chain, wallets)}
    grounds = repository.grounds_on(session, chain, ids, labels)
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
    if "origin" in shown:
        return not _sweep_stands(session, ground, shown["transfer"])
    if shown["transfer"] not in beliefs:
        return False
    belief = beliefs[shown["transfer"]]
    return belief is None or belief.intent is not Intent.SALE
