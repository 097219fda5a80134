"""The tables (SQLModel), their column types and the unit of work."""

from tracker.db import (
    alerts,
    chain,
    events,
    facts,
    operations,
    reconciliation,
    registry,
    staking,
    webhooks,
)
from tracker.db.unit_of_work import Database

__all__ = [
    "Database",
    "alerts",
    "chain",
    "events",
    "facts",
    "operations",
    "reconciliation",
    "registry",
    "staking",
    "webhooks",
]
