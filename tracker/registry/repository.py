"""SQL of the registry: entities, wallets, watch sets and what an address is known as."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

import sqlalchemy
from sqlalchemy import BigInteger, LargeBinary, String, func, literal, text, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlmodel import Session, col, select

from tracker.db.chain import Cursor
from tracker.db.registry import Entity, Label, Wallet, WatchSet
from tracker.db.types import UtcTime
from tracker.domain import transfer
from tracker.domain.chain import BlockRef
from tracker.domain.entity import Kind, Role, Tier
from tracker.errors import NotFoundError

# Any constant serves: two synchronisations at once would each miss what the other writes.
_SYNC_LOCK = 0x7265_6769_7374
_STREAM_ROWS = 10_000
# Rows that leave other columns null go in one statement, not in one each.
_ALIKE = {"render_nulls": True}


@dataclass(frozen=True, slots=True)
class WatchedWallet:
    """An open wallet of an enabled holder. `key` is its scriptPubKey or 20 address bytes.

    `wallet_id` is its tenure (`Wallet.tenure_id`). `active_from_height` is the first block that is
    scanned with it; None: every block applied.
    """

    wallet_id: int
    entity_id: int
    entity_slug: str
    key: bytes
    role: str
    tier: Tier
    active_from_height: int | None


def among(column: Any, values: Iterable[Any], kind: type[Any] = LargeBinary) -> Any:
    """The condition that `column` is one of `values`, however many they are."""
    # One array parameter: an IN list has a limit of 65,535 of them.
    return column == func.any(literal(list(values), ARRAY(kind)))


# -- entities ------------------------------------------------------------------------------------


def find_entity(session: Session, slug: str) -> Entity | None:
    """The entity of this slug, or None."""
    return session.exec(select(Entity).where(Entity.slug == slug)).one_or_none()


def get_entity(session: Session, slug: str) -> Entity:
    """The entity of this slug. Raises `NotFoundError` whose mend names near slugs."""
    found = find_entity(session, slug)
    if found is not None:
        return found
    names: dict[str, str] = {}
    for known, name, ticker in session.exec(select(Entity.slug, Entity.name, Entity.ticker)):
        names |= {word.lower(): known for word in (ticker, name, known) if word}
    asked = slug.lower()
    near = [asked] if asked in names else get_close_matches(asked, names, n=4, cutoff=0.6)
    slugs = list(dict.fromkeys(names[word] for word in near))
    raise NotFoundError(
        "no such entity",
        field="entity",
        value=slug,
        mend=f"did you mean {' or '.join(slugs)}?" if slugs else "list them: `tracker entities`",
    )


def list_entities(
    session: Session,
    *,
    kind: Kind | None = None,
    role: Role | None = None,
    enabled: bool | None = True,
) -> list[Entity]:
    """Entities by slug; `enabled` None gives the disabled ones too."""
    query = select(Entity).order_by(Entity.slug)
    if kind is not None:
        query = query.where(Entity.kind == kind)
    if role is not None:
        query = query.where(Entity.role == role)
    if enabled is not None:
        query = query.where(Entity.enabled == enabled)
    return list(session.exec(query))


def entities_by_id(session: Session, ids: Collection[int]) -> dict[int, Entity]:
    """The entities of these ids; an id that does not exist is left out."""
    rows = session.exec(select(Entity).where(col(Entity.id).in_(set(ids))))
    return {entity.id: entity for entity in rows if entity.id is not None}


def entities_by_slug(session: Session, slugs: Collection[str] | None = None) -> dict[str, Entity]:
    """The entities of these slugs, or every one."""
    query = select(Entity)
    if slugs is not None:
        query = query.where(col(Entity.slug).in_(set(slugs)))
    return {entity.slug: entity for entity in session.exec(query)}


def insert_entities(session: Session, rows: Sequence[dict[str, Any]]) -> set[str]:
    """Insert entities; returns the slugs that were new (another writer may have been first)."""
    if not rows:
        return set()
    query = insert(Entity).on_conflict_do_nothing(index_elements=["slug"])
    return set(
        session.scalars(query.returning(col(Entity.slug)), list(rows), execution_options=_ALIKE)
    )


def save_entity(session: Session, entity: Entity) -> None:
    """Write the changes made to an entity."""
    session.add(entity)
    session.flush()


# -- wallets -------------------------------------------------------------------------------------


def wallets_of(session: Session, entity_id: int, *, include_closed: bool = False) -> list[Wallet]:
    """An entity's wallets by chain and address, the closed ones last where asked for."""
    query = select(Wallet).where(Wallet.entity_id == entity_id)
    if not include_closed:
        query = query.where(col(Wallet.closed_at).is_(None))
    ended = col(Wallet.closed_at).is_not(None)
    return list(session.exec(query.order_by(ended, col(Wallet.chain), col(Wallet.address))))


def open_wallets(
    session: Session,
    *,
    owner: str | None = None,
    entity_id: int | None = None,
    source: str | None = None,
    pack_id: int | None = None,
) -> list[Wallet]:
    """Open wallets that agree with every condition given."""
    query = select(Wallet).where(col(Wallet.closed_at).is_(None)).order_by(col(Wallet.id))
    conditions = {"owner": owner, "entity_id": entity_id, "source": source, "pack_id": pack_id}
    for name, value in conditions.items():
        if value is not None:
            query = query.where(getattr(Wallet, name) == value)
    return list(session.exec(query))


def open_at(session: Session, chain: str, keys: Collection[bytes]) -> dict[bytes, Wallet]:
    """The open wallets at these addresses, whoever's they are."""
    query = select(Wallet).where(
        Wallet.chain == chain, among(Wallet.key, keys), col(Wallet.closed_at).is_(None)
    )
    return {wallet.key: wallet for wallet in session.exec(query)}


def read_again(session: Session, wallets: Collection[Wallet]) -> None:
    """Bring wallets of this session to what is stored now."""
    ids = [wallet.id for wallet in wallets]
    query = select(Wallet).where(among(Wallet.id, ids, BigInteger))
    session.exec(query.execution_options(populate_existing=True)).all()


def closed_by_operator(session: Session) -> set[tuple[int, str, bytes]]:
    """Entity id, chain and key of the wallets whose last row an operator closed."""
    place = (col(Wallet.entity_id), col(Wallet.chain), col(Wallet.key))
    last = sqlalchemy.select(func.max(col(Wallet.id))).group_by(*place)
    closed = sqlalchemy.select(*place).where(
        col(Wallet.id).in_(last),
        col(Wallet.owner) == "operator",
        col(Wallet.closed_at).is_not(None),
    )
    return {(row.entity_id, row.chain, row.key) for row in session.execute(closed)}


def insert_wallets(session: Session, rows: Sequence[dict[str, Any]]) -> set[tuple[str, bytes]]:
    """Insert open wallets; returns (chain, key) of the new ones.

    An address that another writer opened in the meantime is left to it.
    """
    if not rows:
        return set()
    query = insert(Wallet).on_conflict_do_nothing(
        index_elements=["chain", "key"], index_where=text("closed_at is null")
    )
    returned = session.execute(
        query.returning(col(Wallet.chain), col(Wallet.key)), list(rows), execution_options=_ALIKE
    )
    return {(chain, key) for chain, key in returned}


def close_wallets(
    session: Session, ids: Collection[int], now: datetime, *, owner: str | None = None
) -> None:
    """Close wallet rows; `owner` also says whose decision that was."""
    values = {"closed_at": now} if owner is None else {"closed_at": now, "owner": owner}
    session.execute(update(Wallet).where(among(Wallet.id, ids, BigInteger)).values(**values))


def restart_wallets(session: Session, ids: Collection[int], now: datetime, height: int) -> None:
    """Close open wallets and open them again, scanned from block `height` on, opening unknown."""
    close_wallets(session, ids, now)
    carried = ("entity_id", "chain", "address", "key", "role", "tier", "source", "note", "pack_id",
               "owner", "valid_from", "valid_to", "descriptor_id", "branch",
               "child_index")  # fmt: skip
    again = sqlalchemy.select(
        *(getattr(Wallet, name) for name in carried),
        literal(height),
        literal(False),
        literal(now, UtcTime),
    ).where(among(Wallet.id, ids, BigInteger))
    session.execute(
        insert(Wallet).from_select(
            [*carried, "active_from_height", "opening_known", "recorded_at"], again
        )
    )


def next_height(session: Session, chain: str) -> int | None:
    """The height of the next block that the chain's scan applies; None before its first."""
    height = session.exec(select(Cursor.height).where(Cursor.chain == chain)).one_or_none()
    return None if height is None else height + 1


# -- openings -------------------------------------------------------------------------------------


def void_openings(session: Session, chain: str, hashes: Collection[bytes]) -> int:
    """Forget the openings that were taken at orphaned blocks; returns how many."""
    found = session.execute(
        update(Wallet)
        .where(
            col(Wallet.chain) == chain,
            col(Wallet.closed_at).is_(None),
            among(Wallet.opening_hash, hashes),
        )
        .values(
            opening_known=False,
            opening_height=None,
            opening_hash=None,
            opening_time=None,
            history_from=None,
        )
        .returning(col(Wallet.id))
    )
    return len(found.all())


def unopened(session: Session, chain: str, limit: int) -> list[Wallet]:
    """Open wallets of enabled holders whose opening is not known yet, oldest first.

    One of which a source said that it cannot tell (`opening_note`) comes last.
    """
    return list(
        session.exec(
            select(Wallet)
            .join(Entity)
            .where(
                Wallet.chain == chain,
                col(Wallet.closed_at).is_(None),
                col(Wallet.opening_known).is_(False),
                col(Entity.enabled),
                Entity.role == Role.HOLDER,
            )
            .order_by(col(Wallet.opening_note).is_not(None), col(Wallet.id))
            .limit(limit)
        )
    )


def still_unopened(session: Session, ids: Collection[int]) -> set[int]:
    """Those of the wallets that are open and wait for their opening still."""
    query = select(Wallet.id).where(
        among(Wallet.id, ids, BigInteger),
        col(Wallet.closed_at).is_(None),
        col(Wallet.opening_known).is_(False),
    )
    return {found for found in session.exec(query) if found is not None}


def set_opening(session: Session, ids: Collection[int], block: BlockRef) -> None:
    """Note that the ledger holds what these wallets held at a block."""
    session.execute(
        update(Wallet)
        .where(among(Wallet.id, ids, BigInteger))
        .values(
            opening_known=True,
            opening_height=block.height,
            opening_hash=block.hash,
            opening_time=block.time,
            opening_note=None,
            history_from=block.height + 1,
            active_from_height=func.coalesce(Wallet.active_from_height, block.height + 1),
        )
    )


def note_openings(session: Session, notes: dict[int, str]) -> None:
    """Say why the opening of a wallet cannot be had; by wallet id."""
    for wallet_id, note in sorted(notes.items()):
        session.execute(update(Wallet).where(col(Wallet.id) == wallet_id).values(opening_note=note))


# -- the watch set -------------------------------------------------------------------------------


def watched(session: Session, chain: str) -> tuple[int, list[WatchedWallet]]:
    """The version of a chain's watch set and the open wallets of enabled holders, of one moment."""
    here = select(literal(chain, String).label("chain")).subquery()
    holders = _holders(chain).subquery()
    # One statement sees one moment, whatever the isolation level of the transaction.
    query = (
        sqlalchemy.select(func.coalesce(WatchSet.version, 0), holders)
        .select_from(here)
        .outerjoin(WatchSet, col(WatchSet.chain) == here.c.chain)
        .outerjoin(holders, sqlalchemy.true())
    )
    version = 0
    wallets: list[WatchedWallet] = []
    tiers = {str(tier): tier for tier in Tier}
    same: dict[Any, Any] = {}  # a million rows share a few slugs, roles and heights
    rows = session.connection().execute(
        query, execution_options={"stream_results": True, "yield_per": _STREAM_ROWS}
    )
    for row in rows:
        version = row[0]
        if row.wallet_id is not None:
            entity_id, slug, role, active = (
                same.setdefault(value, value)
                for value in (row.entity_id, row.slug, row.role, row.active_from_height)
            )
            wallets.append(
                WatchedWallet(
                    row.wallet_id, entity_id, slug, row.key, role, tiers[row.tier], active
                )
            )
    return version, wallets


def holders_for(
    session: Session, chain: str, keys: Collection[bytes]
) -> dict[bytes, WatchedWallet]:
    """Those of `keys` that are watched wallets, and whose."""
    if not keys:
        return {}
    return {
        row.key: WatchedWallet(
            row.wallet_id,
            row.entity_id,
            row.slug,
            row.key,
            row.role,
            Tier(row.tier),
            row.active_from_height,
        )
        for row in session.execute(_holders(chain).where(among(Wallet.key, keys)))
    }


def bump_watch_set(session: Session, chain: str) -> int:
    """Raise the version of a chain's watch set and return it.

    The row stays locked until the transaction ends, so that no block is committed with the old
    set meanwhile. A transaction that bumps several chains does so in the order of their names.
    """
    query = insert(WatchSet).values(chain=chain, version=1)
    query = query.on_conflict_do_update(
        index_elements=["chain"], set_={"version": col(WatchSet.version) + 1}
    )
    return int(session.execute(query.returning(col(WatchSet.version))).scalar_one())


def lock_watch_set(session: Session, chain: str, *, to_bump: bool = False) -> int:
    """The version of a chain's watch set, held still until the transaction ends (FOR SHARE).

    `to_bump`: FOR UPDATE, by who may bump it later on: two that share it could not.
    """
    query = select(WatchSet.version).where(WatchSet.chain == chain)
    query = query.with_for_update(read=not to_bump)
    version = session.exec(query).one_or_none()
    if version is None:
        session.execute(insert(WatchSet).values(chain=chain, version=0).on_conflict_do_nothing())
        version = session.exec(query).one()
    return version


def lock_sync(session: Session) -> None:
    """Wait for any other synchronisation or pack import, and hold others off until the end."""
    session.execute(select(func.pg_advisory_xact_lock(_SYNC_LOCK)))


# -- labels ---------------------------------------------------------------------------------------


def labels_for(
    session: Session, chain: str, keys: Collection[bytes]
) -> dict[bytes, transfer.Label]:
    """What is known of these addresses: the best label of each.

    Labels that say the same (category and entity, or name where there is none) stand together.
    Best is the better tier, then more sources that say so, then the newer date.
    """
    if not keys:
        return {}
    query = (
        select(Label, Entity.slug)
        .outerjoin(Entity)
        .where(Label.chain == chain, among(Label.key, keys), col(Label.closed_at).is_(None))
    )
    sayings: dict[tuple[bytes, str, str], list[tuple[Label, str | None]]] = {}
    for label, slug in session.exec(query):
        saying = (label.key, label.category, slug or label.name.lower())
        sayings.setdefault(saying, []).append((label, slug))
    best: dict[bytes, tuple[tuple[Any, ...], transfer.Label]] = {}
    for (key, category, _), said in sayings.items():
        label, entity = min(said, key=lambda one: (_rank(one[0]), one[0].name))
        sources = len({(one.source or "", one.pack_id) for one, _ in said})
        rank = (Tier(label.tier).rank, -sources, *_rank(label)[1:], label.name)
        if key not in best or rank < best[key][0]:
            best[key] = (rank, transfer.Label(label.name, category, Tier(label.tier), entity))
    return {key: label for key, (_, label) in best.items()}


def _holders(chain: str) -> Any:
    return (
        sqlalchemy.select(
            func.coalesce(Wallet.tenure_id, Wallet.id).label("wallet_id"),
            col(Wallet.entity_id),
            col(Entity.slug),
            col(Wallet.key),
            col(Wallet.role),
            col(Wallet.tier),
            col(Wallet.active_from_height),
        )
        .join(Entity, col(Entity.id) == col(Wallet.entity_id))
        .where(
            col(Wallet.chain) == chain,
            col(Wallet.closed_at).is_(None),
            col(Entity.enabled),
            col(Entity.role) == Role.HOLDER,
        )
    )


def _rank(label: Label) -> tuple[int, float]:
    dated = label.dated.timestamp() if label.dated is not None else 0.0
    return Tier(label.tier).rank, -dated
