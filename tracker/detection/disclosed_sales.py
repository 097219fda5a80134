"""`sell_off` in disclosures: what the filings show is computed whole, then made true in the alerts.

Recomputing costs little and makes every correction one mechanism: a figure that changed changes the
incidents, and the difference to what was said becomes revisions and retractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from sqlmodel import Session

from tracker.db.alerts import Alert
from tracker.db.facts import Disclosure
from tracker.db.registry import Entity
from tracker.detection import repository
from tracker.detection.clips import clip_of
from tracker.detection.lifecycle import AlertBook
from tracker.detection.news import NewsPolicy
from tracker.domain.alert import alert_id
from tracker.domain.disclosed_sale import DisclosedFact, Incident, incidents
from tracker.domain.entity import Kind
from tracker.domain.sell_off import JOIN_WITHIN, RULE, Clip, enabled_for
from tracker.facts import repository as facts


def evaluate(session: Session, entity: Entity, *, news: NewsPolicy, now: datetime) -> int:
    """Bring the disclosure alerts of `entity` in line with its facts; returns how many changed.

    Idempotent: a second run over the same facts writes nothing. Where the rule is off nothing new
    is said, and what was said stays: its ground is not withdrawn.
    """
    on = enabled_for(Kind(entity.kind), entity.rules)
    if entity.id is None or not entity.enabled or not on:
        return 0
    repository.lock_entity(session, entity.id)
    rows = facts.disclosures_of(session, entity.id)
    changed = 0
    book = AlertBook(session, news, now)
    assets = {row.asset for row in rows} | repository.assets_alerted(session, entity.id, RULE)
    for asset in sorted(assets):
        found = incidents([_fact(row) for row in rows if row.asset == asset], asset)
        changed += _make_true(session, book, entity, asset, found, now)
    return changed


def _fact(row: Disclosure) -> DisclosedFact:
    return DisclosedFact(
        as_of=row.as_of,
        kind=row.kind,
        amount=row.amount,
        measure=row.measure,
        evidence=row.evidence,
        source=row.source,
        form=row.form,
        published_at=row.published_at,
        cost=row.cost,
        average_price=row.average_price,
        quote=row.quote,
        note=row.note,
    )


def _make_true(
    session: Session,
    book: AlertBook,
    entity: Entity,
    asset: str,
    found: Sequence[Incident],
    now: datetime,
) -> int:
    wanted = {alert_id(RULE, entity.slug, asset, item.first_ground): item for item in found}
    changed = 0
    for alert in repository.alerts_of(session, entity.id or 0, RULE, asset):
        if alert.id in wanted or alert.status == "retracted":
            continue
        refs = [g.ref for g in repository.grounds_of(session, [alert.id])[alert.id]]
        if refs and all(ref.startswith("disclosure:") for ref in refs):
            book.withdraw(alert, entity, refs, "the disclosures no longer show a sale")
            changed += 1
    for key, incident in wanted.items():
        existing = repository.find_alert(session, key)
        changed += _grow(session, book, entity, asset, incident, existing)
        current = repository.find_alert(session, key)
        if current is not None and current.status == "open":
            changed += _close(book, entity, current, incident, now)
    return changed


def _grow(
    session: Session,
    book: AlertBook,
    entity: Entity,
    asset: str,
    incident: Incident,
    existing: Alert | None,
) -> int:
    """Say every clip that was not said yet, one revision a clip; mend those that changed."""
    if existing is None:
        alert = book.open(entity, RULE, asset, incident.clips[0])
        for clip in incident.clips[1:]:
            book.add(alert, entity, clip)
        return 1
    grounds = {g.ref: g for g in repository.grounds_of(session, [existing.id])[existing.id]}
    changed = 0
    for clip in incident.clips:
        ground = grounds.pop(clip.ref, None)
        said = None if ground is None else clip_of(ground.data)
        if ground is None or said is None:
            book.add(existing, entity, clip)
        elif not ground.standing or _claim(said) != _claim(clip):
            book.add(existing, entity, clip, why=f"corrected: {clip.says}")
        elif said != clip:  # say, the next total came: the same sale, now between two balances
            book.mend(existing, entity, clip)
        else:
            continue
        changed = 1
    gone = [ref for ref, ground in grounds.items() if ground.standing]
    if gone:
        book.withdraw(existing, entity, gone, "a disclosure was corrected")
        changed = 1
    return changed


def _claim(clip: Clip) -> Clip:
    """What a clip claims, without the words and details that go with it."""
    return replace(clip, says="", evidence=(), ground={})


def _close(book: AlertBook, entity: Entity, alert: Alert, incident: Incident, now: datetime) -> int:
    if incident.closed_on is not None:
        at = datetime.combine(incident.closed_on + timedelta(days=1), time(), tzinfo=UTC)
        book.close(alert, entity, at, f"holdings rose again by {incident.closed_on}")
        return 1
    last = incident.clips[-1].at
    if now - last > JOIN_WITHIN:
        days = JOIN_WITHIN.days
        book.close(alert, entity, last + JOIN_WITHIN, f"no further sale in {days} days")
        return 1
    return 0
