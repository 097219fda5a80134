"""The outbox: an event is written in the transaction of what it tells of, or not at all."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from sqlmodel import Session

from tracker.domain.alert import Severity
from tracker.domain.entity import Tier
from tracker.domain.subscription import ALERTS, STREAMS
from tracker.errors import InputError
from tracker.events import repository
from tracker.events.body import event_body

# The id becomes a header and part of the signed text, where a dot separates.
_ID = re.compile(r"[A-Za-z0-9_:-]{1,128}")
_TYPE = re.compile(r"[a-z0-9_]{1,64}(\.[a-z0-9_]{1,64})?")


def add(
    session: Session,
    *,
    id: str,  # noqa: A002 - the word of the table and of the `webhook-id` header
    type: str,  # noqa: A002 - the word of the body
    timestamp: datetime,
    data: dict[str, Any],
    alert_id: str | None,
    entity_slug: str | None,
    asset: str | None,
    severity: str,
    tier: str | None,
    stream: str = ALERTS,
    created_at: datetime,
) -> None:
    """Write an event to be published; writing the same id again changes nothing.

    `timestamp` is the time of the ground, `created_at` the clock's. The body's bytes are made
    here, once. Raises `InputError` for an unknown severity, tier or stream, an id or type with
    other letters than a header and a pattern can carry, or data that is not JSON.
    """
    for field, value, pattern in (("id", id, _ID), ("type", type, _TYPE)):
        if not pattern.fullmatch(value):
            raise InputError(
                f"not an event {field}", field=field, value=value, mend=f"match {pattern.pattern}"
            )
    _one_of("severity", severity, tuple(Severity))
    _one_of("stream", stream, STREAMS)
    if tier is not None:
        _one_of("tier", tier, tuple(Tier))
    repository.insert_event(
        session,
        {
            "id": id,
            "type": type,
            "alert_id": alert_id,
            "entity_slug": entity_slug,
            "asset": asset,
            "severity": str(severity),
            "tier": None if tier is None else str(tier),
            "stream": stream,
            "body": event_body(type, timestamp, data),
            "created_at": created_at,
        },
    )


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(
            f"unknown {field}", field=field, value=value, mend=f"use one of {', '.join(allowed)}"
        )
