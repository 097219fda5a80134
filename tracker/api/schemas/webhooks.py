"""Schemas of webhook endpoints and deliveries."""

from __future__ import annotations

from pydantic import Field

from tracker.api.schemas.common import Sent, SentTime, Shown, Utc

_Names = list[str]


class NewEndpoint(Sent):
    """A receiver to subscribe. Empty lists mean everything."""

    url: str = Field(max_length=2000, examples=["https://example.org/hooks/tracker"])
    description: str = Field("", max_length=500)
    types: _Names = Field(default_factory=list, max_length=50, examples=[["sell_off.*"]])
    entities: _Names = Field(default_factory=list, max_length=500)
    cohorts: _Names = Field(default_factory=list, max_length=50)
    assets: _Names = Field(default_factory=list, max_length=50)
    min_severity: str = "info"
    min_tier: str | None = None
    allow_hosts: _Names = Field(
        default_factory=list,
        max_length=20,
        description="Hosts (or host:port) that may resolve to a private address",
    )


class EndpointItem(Shown):
    """An endpoint; its secret is shown once, when it is made or rotated."""

    id: str
    url: str
    description: str
    types: _Names
    entities: _Names
    cohorts: _Names
    assets: _Names
    min_severity: str
    min_tier: str | None
    allow_hosts: _Names
    state: str
    disabled_reason: str | None
    failing_since: Utc | None
    created_at: Utc


class EndpointSecretShown(EndpointItem):
    """An endpoint with its new signing secret, this once."""

    secret: str = Field(description="whsec_…: keep it, it is not shown again")


class AttemptItem(Shown):
    """One POST."""

    number: int
    at: Utc
    duration_ms: int
    status: int | None
    error: str | None
    response: str | None


class DeliveryItem(Shown):
    """One event owed to one endpoint."""

    id: int
    event_id: str
    type: str | None
    sequence: int
    state: str
    origin: str
    due_at: Utc
    attempts: int
    last_status: int | None
    last_error: str | None
    created_at: Utc
    finished_at: Utc | None
    log: list[AttemptItem] = Field(description="Each POST with what came back, in order")


class EndpointChange(Sent):
    """Enable an endpoint that was disabled."""

    enabled: bool


class Replay(Sent):
    """What to send again: one event, one delivery, or all of a time range."""

    event_id: str | None = Field(None, max_length=200)
    delivery_id: int | None = Field(None, ge=1, lt=2**63)
    since: SentTime | None = Field(None, description="Published at or after this time")
    until: SentTime | None = Field(None, description="Published before this time; null for now")


class Test(Sent):
    """Which sample to send."""

    type: str = Field("test.ping", max_length=80)


class Queued(Shown):
    """How many deliveries were queued."""

    queued: int
    event_ids: list[str] = Field(default_factory=list)
