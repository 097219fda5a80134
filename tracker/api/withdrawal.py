"""Withdraw what rested on closed labels and wallets, within the request's transaction."""

from __future__ import annotations

from tracker.api.context import Context
from tracker.db.session import Session
from tracker.detection import withdraw as detection
from tracker.detection.news import NewsPolicy
from tracker.registry.replacement import Removal


def withdraw(session: Session, removal: Removal, context: Context, *, why: str) -> int:
    """How many alerts lost the ground that `removal` took away; see `tracker.detection`."""
    return detection.withdraw(
        session, removal, why=why, news=NewsPolicy.of(context.settings), now=context.now()
    )
