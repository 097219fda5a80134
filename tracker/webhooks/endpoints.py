"""Endpoints: added, listed, removed, enabled again, their secrets rotated."""

from __future__ import annotations

import secrets as entropy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from tracker import signing
from tracker.config import Settings
from tracker.db.webhooks import Endpoint
from tracker.domain import subscription
from tracker.domain.alert import Severity
from tracker.domain.entity import Tier
from tracker.domain.units import decimals
from tracker.errors import ConflictError, InputError, NotFoundError
from tracker.webhooks import repository
from tracker.webhooks.target import Policy, check_allow_host, parse_target

# How long a rotated secret still signs beside the new one.
ROTATION_OVERLAP = timedelta(hours=24)

ENABLED = "enabled"
DISABLED = "disabled"
_MOST_NAMES = 500
_LONGEST_DESCRIPTION = 500


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """What a caller asks for; empty tuples ask for everything. Validated by `add`."""

    url: str
    description: str = ""
    types: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    cohorts: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    min_severity: str = Severity.INFO.value
    min_tier: str | None = None
    allow_hosts: tuple[str, ...] = ()


def policy_of(settings: Settings) -> Policy:
    """The part of the settings that the guard needs."""
    return Policy(ports=settings.webhook_ports, allow_http=settings.webhook_allow_http)


def add(
    session: Session, new: NewEndpoint, *, settings: Settings, now: datetime
) -> tuple[Endpoint, str]:
    """The stored endpoint and its signing secret, which is not shown again.

    Raises `InputError` naming the first field that is not acceptable: a URL that the guard would
    refuse, a pattern that no event type has, an unknown entity, cohort, asset, severity or tier.
    """
    allow_hosts = sorted({check_allow_host(entry) for entry in new.allow_hosts})
    parse_target(new.url, allow_hosts, policy_of(settings))
    _check(session, new)
    endpoint = Endpoint(
        id="ep_" + entropy.token_hex(10),
        url=new.url,
        description=new.description,
        types=list(dict.fromkeys(new.types)),
        entities=list(dict.fromkeys(new.entities)),
        cohorts=list(dict.fromkeys(new.cohorts)),
        assets=list(dict.fromkeys(new.assets)),
        min_severity=new.min_severity,
        min_tier=new.min_tier,
        allow_hosts=allow_hosts,
        created_at=now,
    )
    session.add(endpoint)
    session.flush()
    secret = signing.new_secret()
    repository.add_secret(session, endpoint.id, secret, now)
    return endpoint, secret


def get(session: Session, endpoint_id: str, *, lock: bool = False) -> Endpoint:
    """The endpoint; raises `NotFoundError` when there is none, or it was removed."""
    endpoint = repository.find_endpoint(session, endpoint_id, lock=lock)
    if endpoint is None:
        raise NotFoundError(
            "no such endpoint",
            field="endpoint",
            value=endpoint_id,
            mend="see `tracker webhooks list`",
        )
    return endpoint


def list_all(session: Session) -> Sequence[Endpoint]:
    """Every endpoint that was not removed, oldest first."""
    return repository.list_endpoints(session)


def remove(session: Session, endpoint_id: str, *, now: datetime) -> None:
    """Remove an endpoint: its log stays, its secrets go, what it is still owed is skipped."""
    endpoint = get(session, endpoint_id, lock=True)
    endpoint.state = DISABLED
    endpoint.disabled_reason = "removed"
    endpoint.deleted_at = now
    session.add(endpoint)
    repository.delete_secrets(session, endpoint_id)


def enable(session: Session, endpoint_id: str) -> Endpoint:
    """Take deliveries again from the next event on; what was skipped comes by replay only."""
    endpoint = get(session, endpoint_id, lock=True)
    endpoint.state = ENABLED
    endpoint.disabled_reason = None
    endpoint.failing_since = None
    session.add(endpoint)
    return endpoint


def require_enabled(endpoint: Endpoint) -> None:
    """Raise `ConflictError` unless the endpoint takes deliveries."""
    if endpoint.state != ENABLED:
        raise ConflictError(
            f"the endpoint is disabled: {endpoint.disabled_reason}",
            field="endpoint",
            value=endpoint.id,
            mend="enable it first",
        )


def rotate(session: Session, endpoint_id: str, *, now: datetime) -> tuple[Endpoint, str]:
    """The endpoint and its new secret, which is not shown again.

    For 24 hours messages carry a signature of the old secret too; a secret that was already on
    its way out is dropped, so that two are valid at most.
    """
    endpoint = get(session, endpoint_id, lock=True)
    repository.expire_secrets(session, endpoint_id, now + ROTATION_OVERLAP)
    secret = signing.new_secret()
    repository.add_secret(session, endpoint_id, secret, now)
    return endpoint, secret


def _check(session: Session, new: NewEndpoint) -> None:
    for field in ("types", "entities", "cohorts", "assets", "allow_hosts"):
        count = len(getattr(new, field))
        if count > _MOST_NAMES:
            raise InputError(
                "too many names", field=field, value=count, mend=f"give up to {_MOST_NAMES}"
            )
    if len(new.description) > _LONGEST_DESCRIPTION or "\x00" in new.description:
        raise InputError(
            "not a description",
            field="description",
            value=new.description,
            mend=f"up to {_LONGEST_DESCRIPTION} characters, none of them NUL",
        )
    for pattern in new.types:
        subscription.check_pattern(pattern)
    for cohort in new.cohorts:
        subscription.check_cohort(cohort)
    for asset in new.assets:
        decimals(asset)
    _one_of("min_severity", new.min_severity, tuple(Severity))
    if new.min_tier is not None:
        _one_of("min_tier", new.min_tier, tuple(Tier))
    unknown = repository.unknown_slugs(session, new.entities) if new.entities else []
    if unknown:
        raise InputError(
            "unknown entity", field="entities", value=unknown[0], mend="see `tracker entities`"
        )


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(
            f"unknown {field}", field=field, value=value, mend=f"use one of {', '.join(allowed)}"
        )
