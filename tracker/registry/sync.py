"""Synchronising the registry with the bundled one: idempotent, and only over rows it owns.

A holder's bundled addresses become wallets. A venue's become labels, since reserves of venues are
destinations known by label. What the operator decided stands: an entity's switch and rules, a
wallet added or removed, an entity of the operator's own under a bundled slug.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session

from tracker.chains import address as addresses
from tracker.db.registry import Entity
from tracker.domain.entity import Category, Kind, Role, Tier
from tracker.errors import InputError
from tracker.registry import bundled, repository
from tracker.registry.bundled import BundledCounterparty, BundledEntity, BundledWallet
from tracker.registry.packs.info import PackInfo, save_pack
from tracker.registry.replacement import (
    LabelRow,
    Removal,
    WalletRow,
    replace_labels,
    replace_wallets,
)

OWNER = "bundled"
PACK = PackInfo(
    name="bundled",
    title="Bundled counterparties",
    creator="Treasury Tracker",
    licence="facts compiled from public label sets, each row with its source; see docs/facts.md",
    redistributable=True,
    source="docs/facts.md",
)

VENUE_CATEGORIES = {
    Kind.EXCHANGE: Category.EXCHANGE,
    Kind.CUSTODIAN: Category.CUSTODIAN,
    Kind.MINING_POOL: Category.MINING_POOL,
}

_DESCRIPTION = (
    "name", "kind", "role", "treasury_class", "country", "ticker", "exchange_mic", "currency",
    "cik", "website", "source", "note",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bundle:
    """What ships: entities, their wallets, and counterparties."""

    entities: tuple[BundledEntity, ...]
    wallets: tuple[BundledWallet, ...]
    counterparties: tuple[BundledCounterparty, ...]

    @classmethod
    def shipped(cls) -> Bundle:
        """The bundle in the package. Raises `InputError` where a table is damaged."""
        return cls(
            tuple(bundled.entities()), tuple(bundled.wallets()), tuple(bundled.counterparties())
        )


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a synchronisation did. `removal` is what no longer stands.

    `left_to_operator` counts bundled wallets and entities whose place the operator has taken or
    closed; `absent` are bundled entities that the bundle no longer has, kept with their history.
    `note` says why something was not done.
    """

    entities_added: int = 0
    entities_updated: int = 0
    wallets_opened: int = 0
    wallets_kept: int = 0
    labels_opened: int = 0
    labels_kept: int = 0
    left_to_operator: int = 0
    absent: tuple[str, ...] = ()
    removal: Removal = field(default_factory=Removal)
    note: str | None = None


def sync_registry(
    session: Session, *, now: datetime, network: str = "mainnet", bundle: Bundle | None = None
) -> SyncReport:
    """Bring entities, wallets and labels to what `bundle` (by default the shipped one) says.

    On another network than mainnet only entities are synchronised: every bundled address is of
    mainnet. Raises `InputError` or `AddressError` where the bundle is damaged; nothing is written
    then, since the transaction is the caller's.
    """
    facts = bundle or Bundle.shipped()
    repository.lock_sync(session)
    added, updated, taken, absent = _sync_entities(session, facts.entities, now)
    if network != "mainnet":
        return SyncReport(
            entities_added=added,
            entities_updated=updated,
            left_to_operator=taken,
            absent=absent,
            note=f"the bundled addresses are of mainnet: none is watched or labelled on {network}",
        )
    entities = repository.entities_by_slug(session)
    refused = repository.closed_by_operator(session)
    rows = list(_wallet_rows(facts, entities))
    wanted = [row for row in rows if (row.entity_id, row.chain, row.key) not in refused]
    current = repository.open_wallets(session, owner=OWNER)
    wallets = replace_wallets(session, current, wanted, now, owner=OWNER)
    labels = replace_labels(
        session, save_pack(session, PACK, now), _label_rows(facts, entities), now
    )
    return SyncReport(
        entities_added=added,
        entities_updated=updated,
        wallets_opened=wallets.opened,
        wallets_kept=wallets.kept,
        labels_opened=labels.opened,
        labels_kept=labels.kept,
        left_to_operator=taken + len(rows) - len(wanted) + len(wallets.foreign),
        absent=absent,
        removal=Removal(labels.closed, wallets.closed),
    )


def _sync_entities(
    session: Session, rows: tuple[BundledEntity, ...], now: datetime
) -> tuple[int, int, int, tuple[str, ...]]:
    """How many were added and updated, how many slugs are the operator's, and which are absent."""
    known = repository.entities_by_slug(session)
    updated = taken = 0
    fresh = []
    for row in rows:
        described = {name: getattr(row, name) for name in _DESCRIPTION}
        entity = known.get(row.slug)
        if entity is None:
            fresh.append(
                {
                    **described,
                    "slug": row.slug,
                    "enabled": row.enabled,
                    "owner": OWNER,
                    "rules": {},
                    "recorded_at": now,
                }
            )
        elif entity.owner != OWNER:
            taken += 1
        elif any(getattr(entity, name) != value for name, value in described.items()):
            for name, value in described.items():
                setattr(entity, name, value)
            repository.save_entity(session, entity)
            updated += 1
    added = repository.insert_entities(session, fresh)
    bundled_slugs = {row.slug for row in rows}
    absent = (
        slug
        for slug, entity in known.items()
        if entity.owner == OWNER and slug not in bundled_slugs
    )
    return len(added), updated, taken, tuple(sorted(absent))


def _wallet_rows(facts: Bundle, entities: Mapping[str, Entity]) -> Iterator[WalletRow]:
    """The wallets of holders, better tiers first, so that they win where two rows claim a place.

    Where the operator has another kind of entity under the slug, the bundled addresses are not its.
    """
    known = _bundled(facts)
    for row in sorted(facts.wallets, key=lambda each: (each.tier.rank, each.entity)):
        entity = entities[_named(row, known).slug]
        if known[row.entity].role == entity.role == Role.HOLDER and entity.id is not None:
            parsed = _parsed(row, wallet=True)
            yield WalletRow(
                entity_id=entity.id,
                chain=parsed.chain,
                address=parsed.address,
                key=parsed.key,
                role=row.role,
                tier=str(row.tier),
                source=row.source,
                note=row.note,
            )


def _label_rows(facts: Bundle, entities: Mapping[str, Entity]) -> Iterator[LabelRow]:
    """The addresses of venues under the venue's name, then the counterparties."""
    known = _bundled(facts)
    for row in facts.wallets:
        venue = _named(row, known)
        if venue.role is Role.VENUE:
            category = VENUE_CATEGORIES[venue.kind]
            yield _label(row, venue.name, category, _same_role(venue, entities))
    for said in facts.counterparties:
        named = _same_role(_named(said, known), entities) if said.entity is not None else None
        yield _label(said, said.name, said.category, named)


def _same_role(entity: BundledEntity, entities: Mapping[str, Entity]) -> Entity | None:
    """The stored entity; None where the operator's, under the same slug, has another role."""
    stored = entities[entity.slug]
    return stored if stored.role == entity.role else None


def _bundled(facts: Bundle) -> dict[str, BundledEntity]:
    return {entity.slug: entity for entity in facts.entities}


def _named(
    row: BundledWallet | BundledCounterparty, known: Mapping[str, BundledEntity]
) -> BundledEntity:
    """The bundled entity that a row names. Raises `InputError` where the bundle lacks it."""
    entity = known.get(row.entity or "")
    if entity is None:
        raise InputError(
            "a bundled address names an entity that is not bundled",
            field="entity",
            value=row.entity,
            mend="install the package again, or make the bundled facts again (docs/facts.md)",
        )
    return entity


def _label(
    row: BundledWallet | BundledCounterparty, name: str, category: Category, entity: Entity | None
) -> LabelRow:
    parsed = _parsed(row)
    return LabelRow(
        chain=parsed.chain,
        address=parsed.address,
        key=parsed.key,
        name=name,
        category=str(category),
        tier=str(row.tier),
        entity_id=entity.id if entity is not None else None,
        vendor=row.tier is Tier.VENDOR,
        source=row.source,
    )


def _parsed(
    row: BundledWallet | BundledCounterparty, *, wallet: bool = False
) -> addresses.ParsedAddress:
    """The row's address, derived only where the bundle does not carry its key."""
    if row.key is None:
        return addresses.parse(row.chain, row.address, wallet=wallet)
    return addresses.ParsedAddress(row.chain, row.address, row.key)
