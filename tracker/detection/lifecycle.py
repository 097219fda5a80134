"""An alert's lifecycle: opened, revised, closed, retracted; one stable id, one event a step.

Everything an alert says is the fold of its standing ground (`tracker.domain.sell_off`), so that a
reorganisation, a correction and a new clip are one mechanism: change the ground, fold again.
"""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from tracker.db.alerts import Alert, AlertGround, AlertRevision
from tracker.db.registry import Entity
from tracker.detection import repository
from tracker.detection.body import event_data, event_id
from tracker.detection.clips import clip_json, clip_of
from tracker.detection.news import NewsPolicy
from tracker.domain.alert import Finding, Transition, alert_id
from tracker.domain.sell_off import Clip, fold
from tracker.events import outbox


class AlertBook:
    """Changes the alerts of entities within one transaction, at one moment."""

    def __init__(self, session: Session, news: NewsPolicy, now: datetime) -> None:
        self._session = session
        self._news = news
        self._now = now

    def open(self, entity: Entity, rule: str, asset: str, clip: Clip) -> Alert:
        """Open an alert on its first clip, or revive the retracted one of the same identity."""
        finding = fold(entity.slug, asset, clip.ref, [clip])
        key = alert_id(rule, entity.slug, asset, clip.ref)
        existing = repository.find_alert(self._session, key)
        if existing is not None:
            self.add(existing, entity, clip, why=f"back again: {finding.why}")
            return existing
        if entity.id is None:
            raise ValueError("the entity was never stored")
        alert = Alert(
            id=key,
            rule=rule,
            entity_id=entity.id,
            asset=asset,
            status="open",
            revision=0,
            state="",
            severity="info",
            finality="latest",
            intent="",
            probability=clip.probability,
            historical=self._news.historical(clip.at, self._now),
            opened_at=clip.at,
            updated_at=clip.at,
        )
        self._say(alert, finding)
        repository.save(self._session, alert)
        self._put(alert, clip)
        self._revise(alert, entity, Transition.OPENED, finding.why, clip.at)
        return alert

    def add(self, alert: Alert, entity: Entity, clip: Clip, *, why: str | None = None) -> None:
        """Grow (or mend) an alert by a clip: its next revision."""
        self._put(alert, clip)
        # New ground can turn history into news; ground that is taken away never does.
        alert.historical = alert.historical and self._news.historical(clip.at, self._now)
        self._refold(alert, entity, clip.at, why)

    def suspend(self, alert: Alert, refs: list[str], height: int) -> None:
        """Mark ground as orphaned; the new branch decides until it has passed `height`."""
        self._take(alert, refs, for_good=False)
        if alert.status != "retracted":
            alert.status = "suspended"
        alert.suspended_height = max(height, alert.suspended_height or 0)
        repository.save(self._session, alert)

    def settle(self, alert: Alert, entity: Entity, at: datetime) -> None:
        """The new branch passed the old height: what was not mined again is gone for good."""
        alert.suspended_height = None
        grounds = repository.grounds_of(self._session, [alert.id])[alert.id]
        lost = [ground.ref for ground in grounds if _waits(ground)]
        if alert.status != "suspended" or not lost:
            repository.save(self._session, alert)
            return
        self._take(alert, lost, for_good=True)
        self._refold(alert, entity, at, "the new branch of the chain does not hold the transaction")

    def withdraw(self, alert: Alert, entity: Entity, refs: list[str], why: str) -> None:
        """Take ground away for good: a revision, or the retraction where none is left."""
        self._take(alert, refs, for_good=True)
        self._refold(alert, entity, self._now, why)

    def mend(self, alert: Alert, entity: Entity, clip: Clip) -> None:
        """Store a clip that says the same with more detail; nobody has to be told."""
        self._put(alert, clip)
        grounds = repository.grounds_of(self._session, [alert.id])[alert.id]
        clips = [clip_of(ground.data) for ground in grounds if ground.standing]
        finding = fold(entity.slug, alert.asset, clips[0].ref, clips)
        alert.evidence = [item.as_dict() for item in finding.evidence]
        repository.save(self._session, alert)

    def close(self, alert: Alert, entity: Entity, at: datetime, why: str) -> None:
        """End an incident. The claim stays as its last revision made it, so none is added."""
        if alert.status != "open":
            return
        alert.status = "closed"
        alert.closed_at = at
        repository.save(self._session, alert)
        self._tell(alert, entity, Transition.CLOSED, why, at)

    # -- inside ------------------------------------------------------------------------------------

    def _put(self, alert: Alert, clip: Clip) -> None:
        shown = clip.ground
        block = shown.get("hash")
        repository.put_ground(
            self._session,
            AlertGround(
                alert_id=alert.id,
                ref=clip.ref,
                kind=clip.kind,
                data=clip_json(clip),
                chain=shown.get("chain"),
                height=shown.get("height"),
                block_hash=None if block is None else bytes.fromhex(block),
                standing=True,
            ),
        )

    def _take(self, alert: Alert, refs: list[str], *, for_good: bool) -> None:
        """Ground stands no more: gone for good, or waiting for the new branch of the chain."""
        for ground in repository.grounds_of(self._session, [alert.id])[alert.id]:
            if ground.ref in refs:
                ground.standing = False
                ground.data = {**ground.data, "gone": for_good}
                repository.save(self._session, ground)

    def _refold(self, alert: Alert, entity: Entity, at: datetime, why: str | None) -> None:
        grounds = repository.grounds_of(self._session, [alert.id])[alert.id]
        clips = [clip_of(ground.data) for ground in grounds if ground.standing]
        if not clips:
            if alert.status != "retracted":
                self._take(alert, [ground.ref for ground in grounds], for_good=True)
                alert.status = "retracted"
                alert.closed_at = at
                alert.suspended_height = None
                self._revise(
                    alert, entity, Transition.RETRACTED, why or "nothing is left to stand on", at
                )
            return
        if not any(_waits(ground) for ground in grounds):
            alert.suspended_height = None
            alert.status = "open"
            alert.closed_at = None
        finding = fold(entity.slug, alert.asset, clips[0].ref, clips)
        self._say(alert, finding)
        self._revise(alert, entity, Transition.REVISED, why or finding.why, at)

    @staticmethod
    def _say(alert: Alert, finding: Finding) -> None:
        alert.state = finding.state
        alert.severity = finding.severity
        alert.intent = finding.intent
        alert.probability = finding.probability
        alert.amount = finding.amount
        alert.share_of_disclosed = finding.share_of_disclosed
        alert.value_usd = finding.value_usd
        alert.evidence = [item.as_dict() for item in finding.evidence]
        alert.agree, alert.asked = finding.agree, finding.asked
        alert.finality = "final" if finding.state == "disclosed" else "latest"

    def _revise(
        self, alert: Alert, entity: Entity, transition: Transition, why: str, at: datetime
    ) -> None:
        alert.revision += 1
        alert.updated_at = at
        alert.detected_late = not alert.historical and self._news.detected_late(at, self._now)
        repository.save(self._session, alert)
        repository.add_revision(
            self._session,
            AlertRevision(
                alert_id=alert.id,
                revision=alert.revision,
                transition=transition,
                at=at,
                state=alert.state,
                severity=alert.severity,
                intent=alert.intent,
                probability=alert.probability,
                amount=alert.amount,
                why=why,
                recorded_at=self._now,
            ),
        )
        self._tell(alert, entity, transition, why, at)

    def _tell(
        self, alert: Alert, entity: Entity, transition: Transition, why: str, at: datetime
    ) -> None:
        muted = alert.muted_until is not None and alert.muted_until > self._now
        # What was said as news is taken back even while the alert is muted.
        if alert.historical or (muted and transition is not Transition.RETRACTED):
            return
        grounds = repository.grounds_of(self._session, [alert.id])[alert.id]
        tiers = [tier for ground in grounds for tier in clip_of(ground.data).tiers]
        weakest = max(tiers, key=lambda tier: tier.rank, default=None)
        outbox.add(
            self._session,
            id=event_id(alert.id, alert.revision, transition),
            type=f"{alert.rule}.{transition}",
            timestamp=at,
            data=event_data(
                alert,
                entity,
                grounds,
                transition=transition,
                supersedes=repository.last_event_id(self._session, alert.id),
                why=why,
                base_url=self._news.base_url,
            ),
            alert_id=alert.id,
            entity_slug=entity.slug,
            asset=alert.asset,
            severity=alert.severity,
            tier=None if weakest is None else str(weakest),
            created_at=self._now,
        )


def _waits(ground: AlertGround) -> bool:
    """Whether the ground was orphaned and the new branch has not decided about it yet."""
    return not ground.standing and not ground.data.get("gone", True)
