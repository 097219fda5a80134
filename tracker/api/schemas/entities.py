"""Schemas of entities, their wallets, disclosures and capital."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field

from tracker.api.schemas.common import Money, Sent, Shown, Utc
from tracker.api.schemas.holdings import Holding


class Headline(Shown):
    """The one mNAV shown in lists: its definition, value and time."""

    id: str
    value: str
    as_of: str


class LastAlert(Shown):
    """The newest alert of an entity."""

    id: str
    rule: str
    state: str
    severity: str
    status: str
    asset: str
    opened_at: Utc
    updated_at: Utc
    historical: bool


class EntityItem(Shown):
    """An entity in the list."""

    slug: str
    name: str
    kind: str
    role: Literal["holder", "venue"]
    treasury_class: str | None
    country: str | None
    ticker: str | None
    observability: str = Field(description="attested, partial, disclosure_only or none")
    completeness: dict[str, Any] = Field(description="What is known and what is missing")
    holdings: list[Holding]
    value_usd: str | None = Field(description="Of all holdings with a known price")
    value_reason: str | None = None
    mnav: Headline | None
    mnav_reason: str | None = None
    last_alert: LastAlert | None
    enabled: bool


class EntityDetail(EntityItem):
    """One entity, with where the facts about it come from."""

    exchange_mic: str | None
    currency: str | None
    cik: str | None
    website: str | None
    source: str | None
    note: str | None
    owner: str
    rules: dict[str, Any]
    recorded_at: Utc


class NewEntity(Sent):
    """An entity to add. The kind decides the role: holder or venue."""

    slug: str = Field(max_length=80, examples=["example-corp"])
    name: str = Field(max_length=200)
    kind: str = Field(max_length=40, examples=["dat"])
    treasury_class: str | None = None
    country: str | None = Field(None, max_length=80)
    ticker: str | None = Field(None, max_length=20)
    exchange_mic: str | None = Field(None, max_length=8)
    currency: str | None = Field(None, max_length=3)
    cik: str | None = Field(None, max_length=10)
    website: str | None = Field(None, max_length=500)
    source: str | None = Field(None, max_length=500)
    note: str | None = Field(None, max_length=2000)


class EntityChange(Sent):
    """What may be changed of an entity: whether it is followed."""

    enabled: bool


class WalletBalance(Shown):
    """What one wallet holds of an asset; negative where it is owed."""

    asset: str
    quantity: str
    amount: str
    by_bucket: dict[str, str]
    owed: bool = False
    changed_at_height: int = Field(description="The block of the newest change")


class Opening(Shown):
    """The block at which what a wallet held became known."""

    height: int
    hash: str | None
    time: Utc | None


class LastProbe(Shown):
    """When the chain was last asked for a wallet's balances, and whether the ledger agreed."""

    height: int
    hash: str
    agreed: bool
    differed: list[str] = Field(description="The assets that did not agree")
    probed_at: Utc
    source: str


class WalletItem(Shown):
    """An address of an entity and how we know it."""

    id: int
    entity: str
    chain: str
    address: str
    role: str
    tier: str
    source: str | None
    note: str | None
    owner: str
    valid_from: Utc | None
    valid_to: Utc | None
    active_from_height: int | None = Field(description="First block that was scanned with it")
    opening_known: bool = Field(description="Whether what it held before that block is counted")
    state: str = Field(description="open, bootstrapping, counted_from or closed")
    balances: list[WalletBalance] | None = Field(
        description="Assets that ever moved; empty: it never held any; null: not known"
    )
    reason: str | None = Field(None, description="Why it is not known, or not whole")
    opening: Opening | None
    history_from: int | None = Field(description="From this block on its movements are complete")
    opening_note: str | None = Field(description="Why no source can tell what it held before")
    descriptor_id: int | None = Field(None, description="Where it was derived from one")
    branch: int | None = Field(None, description="Its place there: 0 receives, 1 is change")
    child_index: int | None = None
    last_probe: LastProbe | None
    recorded_at: Utc
    closed_at: Utc | None


class NewWallet(Sent):
    """A wallet to add to an entity."""

    chain: str = Field(max_length=20, examples=["bitcoin"])
    address: str = Field(max_length=200)
    role: str = Field("treasury", max_length=40)
    tier: str = Field("user", max_length=40)
    source: str | None = Field(None, max_length=500)
    note: str | None = Field(None, max_length=2000)


class DisclosureItem(Shown):
    """A fact that the entity reported."""

    asset: str
    kind: str
    measure: str
    quantity: str | None
    amount: str | None
    reason: str | None = None
    as_of: date
    period_start: date | None
    period_end: date | None
    cost: Money | None
    average_price: Money | None
    evidence: str
    form: str | None
    source: str
    quote: str | None
    note: str | None
    owner: str = Field(description="bundled, or operator where it was added here")
    published_at: Utc | None
    first_seen: Utc
    recorded_at: Utc


class NewDisclosure(Sent):
    """What an entity said, out of a document: numbers as decimal strings, days as YYYY-MM-DD."""

    as_of: str = Field(max_length=10, examples=["2026-10-04"])
    asset: str = Field(max_length=20, examples=["BTC"])
    kind: str = Field(max_length=20, description="total, purchase, sale, pledge, …")
    source: str = Field(max_length=2000, description="The document: its web address, or its name")
    quantity: str | None = Field(None, max_length=60, description="Whole coins")
    measure: str | None = Field(None, max_length=40, description="`total` unless said otherwise")
    period_start: str | None = Field(None, max_length=10)
    period_end: str | None = Field(None, max_length=10)
    cost_usd: str | None = Field(None, max_length=60)
    average_price_usd: str | None = Field(None, max_length=60)
    evidence: str | None = Field(None, max_length=20, description="`transcribed` unless said so")
    form: str | None = Field(None, max_length=40, examples=["8-K"])
    published_at: str | None = Field(None, max_length=40, examples=["2026-10-05T12:00:00Z"])
    quote: str | None = Field(None, max_length=2000, description="The document's own words")


class CapitalItem(Shown):
    """One field of a capital structure."""

    field: str
    value: str
    currency: str | None
    as_of: date
    basis_date: date | None = Field(description="The split basis on which a share count stands")
    complete: bool = Field(description="False where the source counts only some share classes")
    source: str
    note: str | None
    published_at: Utc | None
    recorded_at: Utc
