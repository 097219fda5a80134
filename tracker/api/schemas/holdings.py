"""Schemas of holdings and transfers."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import Field

from tracker.api.schemas.common import Chain, Shown, Utc


class BlockRef(Shown):
    """The block that a number is of."""

    chain: str
    height: int
    hash: str
    finality: str = Field(description="latest, safe or final")


class Partial(Shown):
    """What those wallets hold whose balance is known, where that of others is not."""

    quantity: str
    amount: str
    by_bucket: dict[str, str]
    wallets: int = Field(description="How many are counted")
    of: int = Field(description="How many there are")


class OnChain(Shown):
    """What the chain shows of an entity's coins; all null, with the reason, where it shows none.

    What is owed (a debt token) is negative, in every bucket and in the sum.
    """

    quantity: str | None
    amount: str | None
    by_bucket: dict[str, str] | None = Field(description="Quantities; they add up to `quantity`")
    as_of_block: BlockRef | None
    state: str = Field(
        description="open, bootstrapping, counted_from, not_yet_known, not_scanned or no_wallet"
    )
    owed: bool = Field(False, description="True: a debt, not a holding")
    opening_known: bool | None = Field(
        description="False: counted only what moved since the wallets were first watched"
    )
    partial: Partial | None = None
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
    coverage_assets: list[str] | None = Field(
        None, description="What was added up for the coverage: the coin, and what stands for it"
    )
    coverage_leaves_out: list[str] | None = Field(
        None, description="Tokens of the coin without a known rate: the coverage is at least that"
    )
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


class HistoryPoint(Shown):
    """What was held at the end of one UTC day; null, with the reason, before it can be told."""

    date: dt.date
    quantity: str | None
    amount: str | None
    by_bucket: dict[str, str] | None
    reason: str | None = None


class History(Shown):
    """The holdings of one asset day by day, oldest first."""

    entity: str
    asset: str
    step: str
    owed: bool
    items: list[HistoryPoint]
    known_from: Utc | None = Field(description="From when on every wallet's balance is known")
    reason: str | None = None
    next: str | None = None


class ChangeItem(Shown):
    """What one day and cause did to the shown holdings of an asset."""

    date: dt.date
    cause: str = Field(description="movement, attribution, rate or measure")
    asset: str
    amount: str
    quantity: str
    wallets: list[str] = Field(description="Addresses that it happened to, some of them")
    wallet_count: int
    document: str | None = Field(None, description="The source of a changed measure")


class ChangeSum(Shown):
    """One asset over a whole period: what was counted at its ends, and what lies between.

    `end` less `start` is the sum of `by_cause`, always. They are null where not every wallet's
    balance is known at that end; `counted_start` and `counted_end` are of those that are.
    """

    asset: str
    owed: bool
    start: str | None
    end: str | None
    counted_start: str
    counted_end: str
    by_cause: dict[str, str] = Field(description="Base units by cause")
    reason: str | None = None


class Changes(Shown):
    """Every change of the shown holdings in a period, split by cause, the newest day first."""

    entity: str
    first: dt.date
    last: dt.date
    totals: list[ChangeSum]
    items: list[ChangeItem]
    next: str | None


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
