"""Schemas of descriptors: the text goes in and never comes out."""

from __future__ import annotations

from pydantic import Field, SecretStr

from tracker.api.schemas.common import Sent, Shown, Utc


class NewDescriptor(Sent):
    """An output descriptor or extended public key whose addresses are an entity's wallets."""

    entity: str = Field(max_length=80, examples=["example-corp"])
    # Of any length here: a refusal of the framework would repeat the text, the parser's does not.
    descriptor: SecretStr = Field(
        description="As wpkh(xpub…/<0;1>/*), wsh(sortedmulti(2,…)), tr(…), or a bare xpub or zpub"
    )
    gap_limit: int = Field(20, description="Unused addresses that are watched on each branch")
    role: str = Field("treasury", max_length=40)
    tier: str = Field("user", max_length=40)
    source: str | None = Field(None, max_length=500)
    note: str | None = Field(None, max_length=2000)


class UsedBranch(Shown):
    """How far a branch was used: 0 receives, 1 is change."""

    branch: int
    last_index: int


class DescriptorItem(Shown):
    """A descriptor that is followed, by its short form: never its keys."""

    id: int
    entity: str
    shown: str = Field(description="The descriptor with its keys cut short")
    fingerprint: str = Field(description="Names the scripts; the keys cannot be found from it")
    branches: int
    gap_limit: int
    role: str
    tier: str
    source: str | None
    note: str | None
    state: str = Field(description="bootstrapping until every opening is known, then open")
    wallets: int = Field(description="Addresses that are watched")
    opened: int = Field(description="Those of which it is known what they held before")
    refused: int = Field(description="Those of which no source can tell it")
    reason: str | None = Field(description="Why, of the first of them")
    used: list[UsedBranch]
    warnings: list[str]
    recorded_at: Utc


class DescriptorRemoval(Shown):
    """A descriptor that is no longer followed."""

    id: int
    wallets: int = Field(description="Addresses that are no longer watched")
    alerts_changed: int = Field(description="Alerts that rested on them and were judged anew")
