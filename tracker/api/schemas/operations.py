"""Schemas of keys, labels, health and the registry's sync."""

from __future__ import annotations

from pydantic import Field

from tracker.api.schemas.common import ImportResult, RowProblem, Sent, Shown, Utc


class Health(Shown):
    """The process answers."""

    status: str
    version: str


class ReadyCheck(Shown):
    """One thing that the service needs."""

    name: str
    ok: bool
    detail: str
    mend: str | None


class Readiness(Shown):
    """Whether the service can do its work."""

    status: str = Field(description="ready or not_ready")
    checks: list[ReadyCheck]


class KeyItem(Shown):
    """A bearer key without its secret."""

    id: int
    name: str
    prefix: str
    scopes: list[str]
    created_at: Utc
    revoked_at: Utc | None


class NewKey(Sent):
    """A key to make."""

    name: str = Field(max_length=100)
    scopes: list[str] = Field(default_factory=lambda: ["read"], max_length=2)


class KeyShown(Shown):
    """A new key, this once."""

    key: str = Field(description="ttk_…: keep it, it is not shown again")
    name: str
    scopes: list[str]


class PackItem(Shown):
    """A set of labels, imported, exported and removed as one."""

    name: str
    title: str
    creator: str | None
    licence: str | None
    redistributable: bool
    source: str | None
    recorded_at: Utc
    labels: int | None = None
    wallets: int | None = None


class PackImport(ImportResult):
    """What became of an imported pack."""

    pack: str
    alerts_changed: int = Field(description="Alerts that rested on rows the new pack lacks")


class PackRemoval(Shown):
    """What went with a removed pack."""

    pack: str
    labels: int
    wallets: int
    alerts_changed: int = Field(description="Alerts that rested on it and were judged anew")


class WalletRemoval(Shown):
    """A wallet that is no longer watched."""

    chain: str
    address: str
    alerts_changed: int = Field(description="Alerts that rested on it and were judged anew")


class SyncResult(Shown):
    """The bundled registry and facts are in the database."""

    synced_at: Utc


class AttestedSet(Sent):
    """A wallet set that a holder attests on its own mempool server."""

    entity: str = Field(max_length=80, examples=["twenty-one"])
    url: str = Field(
        max_length=500,
        description="Base address of the server; `/api/v1/wallet/{wallet_id}` is asked for",
        examples=["https://mempool.example.org"],
    )
    wallet_id: str = Field(max_length=64)


class AttestedResult(Shown):
    """What reading an attested set did to the entity's wallets of that source."""

    entity: str
    source: str = Field(description="The address that was read: the source of these wallets")
    opened: int = Field(description="Wallets that are new, or whose description changed")
    kept: int
    closed: int = Field(description="Wallets that the set no longer names")
    rejected: list[RowProblem] = Field(description="By place in the reply, counted from 1")
    alerts_changed: int = Field(description="Alerts that rested on what was closed")
