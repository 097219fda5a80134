"""Schemas of reconciliation: discrepancies, and requests to look again."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tracker.api.schemas.common import Sent, Shown, Utc


class DiscrepancyItem(Shown):
    """Ledger and chain differed by `amount` (observed less ledger) in one block, or in a range."""

    id: int
    entity: str
    chain: str
    height: int
    hash: str
    from_height: int | None = Field(
        description="The difference lies in a block above this one, up to `height`; null: in it"
    )
    address: str
    asset: str
    observed: str = Field(description="Base units that the chain says")
    expected: str = Field(description="Base units that the ledger counted")
    amount: str
    quantity: str
    state: str = Field(description="open, explained or closed")
    explanation: str | None = Field(
        description="internal, rebase, token, fee or unresolved_range; null: nothing explains it"
    )
    says: str
    opened_at: Utc
    closed_at: Utc | None
    source: str


class NewReconcile(Sent):
    """Whose wallets to compare with the chain now; null: everybody's."""

    entity: str | None = Field(None, max_length=80, examples=["strategy"])


class ReconcileRequest(Shown):
    """A request to reconcile, and what came of it."""

    entity: str | None
    state: str = Field(description="asked, answered or none")
    asked_at: Utc | None
    answered_at: Utc | None
    answer: dict[str, Any] | None = Field(
        description="By chain: wallets, height, probed, agreed, and why it was skipped"
    )
