"""Schemas of holdings and transfers."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tracker.api.schemas.common import Chain, Shown, Utc


class BlockRef(Shown):
    """The block that a number is of."""

    chain: str
    height: int
    hash: str
    finality: str = Field(description="latest, safe or final")


class OnChain(Shown):
    """What the chain shows of an entity's coins; all null, with the reason, where it shows none."""

    quantity: str | None
    amount: str | None
    by_bucket: dict[str, str] | None
    as_of_block: BlockRef | None
    opening_known: bool | None = Field(
        description="False: counted only what moved since the wallets were first watched"
    )
    reason: str | None = None


class Disclosed(Shown):
    """The newest total that the entity reported."""

    quantity: str | None
    amount: str | None
    as_of: str | None
    published_at: Utc | None
    source: str | None
    reason: str | None = None


class Nowcast(Shown):
    """The last disclosure carried forward by classified on-chain changes."""

    quantity: str | None
    as_of: str | None
    reason: str | None


class Holding(Shown):
    """One asset of an entity, by each ground of truth, never added together."""

    asset: str
    onchain: OnChain
    disclosed: Disclosed
    nowcast: Nowcast
    coverage: str | None = Field(description="On-chain quantity / disclosed quantity at its as-of")
    coverage_reason: str | None = None
    price_usd: str | None
    price_as_of: Utc | None
    price_source: str | None
    price_reason: str | None = None
    value_usd: str | None
    value_basis: str | None = Field(description="The quantity that was valued")
    value_reason: str | None = None


class Holdings(Shown):
    """Everything that an entity is known to hold at an instant."""

    entity: str
    as_of: Utc
    observability: str
    completeness: dict[str, Any]
    assets: list[Holding]
    chains: list[Chain]
    reason: str | None = None


class Counterparty(Shown):
    """One address on the other side of a transfer."""

    address: str | None
    name: str | None
    category: str | None
    tier: str | None = Field(description="How the name is known")
    amount: str | None = Field(description="What it received or put in; null where not revealed")


class TransferItem(Shown):
    """The net effect of one transaction on one entity and asset."""

    id: str
    chain: str
    tx: str
    height: int
    hash: str
    time: Utc
    finality: str
    asset: str
    gross_in: str
    gross_out: str
    fee: str
    net: str
    quantity: str = Field(description="`net` in whole coins")
    counterparties: list[Counterparty]
    intent: str
    probability: str
    evidence: list[dict[str, Any]]
    value_usd: str | None
    value_reason: str | None = None
    explorer_url: str | None
