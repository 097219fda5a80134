"""The tables (SQLModel), their column types and the unit of work."""

from tracker.db import alerts, chain, events, facts, operations, registry, webhooks
from tracker.db.unit_of_work import Database

__all__ = [
    "Database",
    "alerts",
    "chain",
    "events",
    "facts",
    "operations",
    "registry",
    "webhooks",
]
