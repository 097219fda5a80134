"""Schemas of alerts and of the event feed."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tracker.api.schemas.common import Sent, SentTime, Shown, Utc


class Revision(Shown):
    """What was said at one revision and why it changed."""

    revision: int
    at: Utc
    state: str
    severity: str
    intent: str
    probability: str
    why: str


class EvidenceItem(Shown):
    """A named rule, what it says, its weight and the data it saw."""

    rule: str
    says: str
    weight: float
    data: dict[str, Any]


class AlertItem(Shown):
    """A rule's finding about an entity."""

    id: str
    rule: str
    entity: Any = Field(description="Whose alert it is")
    asset: str
    state: str = Field(description="suspected, probable, confirmed or disclosed")
    severity: str
    intent: str
    probability: str
    value_usd: str | None
    value_reason: str | None = Field(None, description="Why the value is not known")
    opened_at: Utc
    closed_at: Utc | None
    retracted: bool
    historical: bool
    ground: list[dict[str, Any]]
    evidence: list[EvidenceItem]
    revisions: list[Revision]
    acknowledged: Any = Field(None, description="When somebody acknowledged it, or null")
    muted_until: SentTime | None = None
    deliveries: Any = Field(None, description="What became of its webhooks")


class Mute(Sent):
    """How long an alert is kept quiet."""

    until: SentTime | None = Field(description="A UTC time to come; null ends the quiet")


class EventItem(Shown):
    """One event of the feed: the body that webhooks carry, and its cursor."""

    cursor: int
    id: str
    type: str
    timestamp: str
    data: dict[str, Any]


class EventPage(Shown):
    """Events in the order they were published. `next` is the cursor to ask after next time."""

    items: list[EventItem]
    next: str | None
