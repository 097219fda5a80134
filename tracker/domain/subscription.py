"""What an endpoint asked for, and whether an event is that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from tracker.domain.alert import EVENT_TYPES, Severity
from tracker.domain.entity import Kind, Tier
from tracker.errors import InputError

ALERTS = "alerts"
OPERATIONS = "operations"
STREAMS = (ALERTS, OPERATIONS)

_ETH_ASSETS = frozenset(
    {"ETH", "WETH", "stETH", "wstETH", "rETH", "cbETH", "weETH", "LsETH", "mETH"}
)
_PATTERN = re.compile(r"[a-z0-9_*]+(\.[a-z0-9_*]+)*")

# A cohort is a kind of entity, and for two of them the asset that the event is about.
_COHORTS: dict[str, tuple[Kind, frozenset[str] | None]] = {
    "all_dats": (Kind.DAT, None),
    "btc_dats": (Kind.DAT, frozenset({"BTC"})),
    "eth_dats": (Kind.DAT, _ETH_ASSETS),
    "sovereigns": (Kind.SOVEREIGN, None),
    "etfs": (Kind.ETF, None),
    "foundations": (Kind.FOUNDATION, None),
}
COHORTS = tuple(_COHORTS)


@dataclass(frozen=True, slots=True)
class Subscription:
    """The filters of one endpoint; an empty tuple asks for everything.

    An event must pass every filter; `entities` and `cohorts` together are one filter, passed by
    an entity that is named or in a named cohort.
    """

    types: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    cohorts: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    min_severity: Severity = Severity.INFO
    min_tier: Tier | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What of an event a subscription looks at; None where the event has no such thing."""

    type: str
    stream: str
    severity: Severity
    entity_slug: str | None = None
    entity_kind: Kind | None = None
    asset: str | None = None
    tier: Tier | None = None


def matches(subscription: Subscription, subject: Subject) -> bool:
    """True when the endpoint asked for this event.

    The operations stream is asked for only by a pattern that is the exact type. An event without
    a tier rests on no label (a disclosure), so no minimum tier holds it back.
    """
    return (
        _type_matches(subscription.types, subject)
        and _holder_matches(subscription, subject)
        and (not subscription.assets or subject.asset in subscription.assets)
        and subject.severity.rank >= subscription.min_severity.rank
        and (
            subscription.min_tier is None
            or subject.tier is None
            or subject.tier.rank <= subscription.min_tier.rank
        )
    )


def in_cohort(cohort: str, kind: Kind | None, asset: str | None) -> bool:
    """True when an event about `asset` of an entity of `kind` belongs to `cohort`."""
    wanted, assets = _COHORTS[cohort]
    return kind is wanted and (assets is None or asset in assets)


def check_pattern(pattern: str) -> str:
    """`pattern` itself; raises `InputError` unless it can match an event type that is ever sent."""
    if not _PATTERN.fullmatch(pattern) or not any(_like(pattern, name) for name in EVENT_TYPES):
        raise InputError(
            "no event type is like this",
            field="types",
            value=pattern,
            mend=f"use one of {', '.join(EVENT_TYPES)}, or a pattern such as sell_off.*",
        )
    return pattern


def check_cohort(cohort: str) -> str:
    """`cohort` itself; raises `InputError` for a name that is none."""
    if cohort not in _COHORTS:
        raise InputError(
            "unknown cohort", field="cohorts", value=cohort, mend=f"use one of {', '.join(COHORTS)}"
        )
    return cohort


def _type_matches(patterns: tuple[str, ...], subject: Subject) -> bool:
    if subject.stream == OPERATIONS:
        return subject.type in patterns
    return not patterns or any(_like(pattern, subject.type) for pattern in patterns)


def _holder_matches(subscription: Subscription, subject: Subject) -> bool:
    if not subscription.entities and not subscription.cohorts:
        return True
    return subject.entity_slug in subscription.entities or any(
        in_cohort(cohort, subject.entity_kind, subject.asset) for cohort in subscription.cohorts
    )


def _like(pattern: str, name: str) -> bool:
    return pattern == "*" or _compiled(pattern).fullmatch(name) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """A star stands for any letters within one part of the dotted name."""
    return re.compile("[^.]*".join(re.escape(part) for part in pattern.split("*")))
