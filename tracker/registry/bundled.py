"""The registry that ships with the package: entities, their wallets, and known counterparties.

docs/facts.md says where each row comes from, under which licence, and what was left out.
Where one address is both a wallet and a counterparty, the wallet says whose coins they are and
the counterparty's name stays as evidence.

An address of Bitcoin comes with its script: every start would otherwise decode thousands of
addresses. Whoever makes the tables derives it, after the checksum; a test derives it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from tracker.domain.entity import Category, Kind, Role, Tier, role_of
from tracker.registry.table import Row, rows

FOLDER = files("tracker.registry") / "bundled"

CHAINS = ("bitcoin", "ethereum")

# `pure`: the treasury is the business; `miner`: coins are earned, and sold for running costs;
# `operating`: coins are incidental to another business.
TREASURY_CLASSES = ("pure", "miner", "operating")

ENTITY_COLUMNS = (
    "slug", "name", "kind", "role", "treasury_class", "country", "ticker", "exchange_mic",
    "currency", "cik", "website", "enabled", "source", "note",
)  # fmt: skip
WALLET_COLUMNS = ("entity", "chain", "address", "role", "tier", "source", "note", "script")
COUNTERPARTY_COLUMNS = (
    "chain", "address", "name", "category", "entity", "tier", "source", "script",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BundledEntity:
    """A holder or a venue. `treasury_class` is None for what is no DAT, or where it is unknown.

    `cik` is the ten-digit EDGAR number; `enabled` is false for those bundled but switched off.
    """

    slug: str
    name: str
    kind: Kind
    role: Role
    treasury_class: str | None
    country: str | None
    ticker: str | None
    exchange_mic: str | None
    currency: str | None
    cik: str | None
    website: str | None
    enabled: bool
    source: str
    note: str | None


@dataclass(frozen=True, slots=True)
class BundledWallet:
    """An address of the entity with slug `entity`; `role` as in docs/facts.md.

    `key` is what a scan matches, and `address` the canonical text where it is given; without it
    both are still to be derived.
    """

    entity: str
    chain: str
    address: str
    role: str
    tier: Tier
    source: str
    note: str | None
    key: bytes | None = None


@dataclass(frozen=True, slots=True)
class BundledCounterparty:
    """What an address is known as. `entity` is the slug of the venue that is named, if any.

    `key` as in `BundledWallet`.
    """

    chain: str
    address: str
    name: str
    category: Category
    entity: str | None
    tier: Tier
    source: str
    key: bytes | None = None


def entities(folder: Traversable = FOLDER) -> Iterator[BundledEntity]:
    """The bundled entities, by slug. Raises `InputError` naming file, line and field."""
    for row in rows(folder, "entities", ENTITY_COLUMNS):
        yield _entity(row)


def wallets(folder: Traversable = FOLDER) -> Iterator[BundledWallet]:
    """The bundled wallets, by entity. Raises `InputError` naming file, line and field."""
    for row in rows(folder, "wallets", WALLET_COLUMNS):
        yield BundledWallet(
            entity=row.text("entity"),
            chain=row.choice("chain", CHAINS),
            address=row.text("address"),
            role=row.text("role"),
            tier=row.member("tier", Tier),
            source=row.text("source"),
            note=row.optional("note"),
            key=_key(row),
        )


def counterparties(folder: Traversable = FOLDER) -> Iterator[BundledCounterparty]:
    """The bundled labels, by chain and address. Raises `InputError` naming file, line and field."""
    for row in rows(folder, "counterparties", COUNTERPARTY_COLUMNS):
        yield BundledCounterparty(
            chain=row.choice("chain", CHAINS),
            address=row.text("address"),
            name=row.text("name"),
            category=row.member("category", Category),
            entity=row.optional("entity"),
            tier=row.member("tier", Tier),
            source=row.text("source"),
            key=_key(row),
        )


def _key(row: Row) -> bytes:
    """The script of a Bitcoin address; of an Ethereum address, which is hexadecimal, itself."""
    if row.cells["chain"] == "bitcoin":
        return row.hexadecimal("script")
    if row.cells["script"]:
        row.fail("script", "an address of Ethereum has none")
    return row.hexadecimal("address", prefix="0x")


def _entity(row: Row) -> BundledEntity:
    kind = row.member("kind", Kind)
    role = row.member("role", Role)
    if role is not role_of(kind):
        row.fail("role", f"a {kind} is a {role_of(kind)}")
    treasury_class = row.optional("treasury_class")
    if treasury_class is not None:
        row.choice("treasury_class", TREASURY_CLASSES)
        if kind is not Kind.DAT:
            row.fail("treasury_class", "only a dat has a treasury class")
    return BundledEntity(
        slug=row.text("slug"),
        name=row.text("name"),
        kind=kind,
        role=role,
        treasury_class=treasury_class,
        country=row.optional("country"),
        ticker=row.optional("ticker"),
        exchange_mic=row.optional("exchange_mic"),
        currency=row.optional("currency"),
        cik=row.optional("cik"),
        website=row.optional("website"),
        enabled=row.flag("enabled"),
        source=row.text("source"),
        note=row.optional("note"),
    )
