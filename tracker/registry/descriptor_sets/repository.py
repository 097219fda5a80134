"""SQL of descriptors: their rows, the places that have a wallet, the places that were used.

A place is (branch, index). A place once had stays had: a derived wallet that somebody removed is
not opened again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, func, update
from sqlmodel import Session, col, select

from tracker.db.chain import Movement
from tracker.db.registry import Descriptor, Wallet
from tracker.registry.repository import among

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Counts:
    """The open wallets of a descriptor: how many, how many of them opened or refused so far.

    `last_used` is the highest index at which coins were seen, by branch.
    """

    wallets: int = 0
    opened: int = 0
    refused: int = 0
    last_used: tuple[tuple[int, int], ...] = ()


def open_descriptor(session: Session, descriptor_id: int) -> Descriptor | None:
    """The descriptor of this id that is followed still."""
    return session.exec(
        select(Descriptor).where(
            Descriptor.id == descriptor_id, col(Descriptor.closed_at).is_(None)
        )
    ).one_or_none()


def find_open(session: Session, fingerprint: str) -> Descriptor | None:
    """The descriptor of these scripts that is followed still, whoever's it is."""
    return session.exec(
        select(Descriptor).where(
            Descriptor.fingerprint == fingerprint, col(Descriptor.closed_at).is_(None)
        )
    ).one_or_none()


def list_open(session: Session, *, entity_id: int | None = None) -> list[Descriptor]:
    """Every descriptor that is followed, oldest first."""
    query = select(Descriptor).where(col(Descriptor.closed_at).is_(None))
    if entity_id is not None:
        query = query.where(Descriptor.entity_id == entity_id)
    return list(session.exec(query.order_by(col(Descriptor.id))))


def insert_descriptor(session: Session, row: Descriptor) -> int:
    """Store a new descriptor; returns its id."""
    session.add(row)
    session.flush()
    if row.id is None:
        raise ValueError("a stored row has an id")
    return row.id


def close(session: Session, descriptor_id: int, now: datetime) -> None:
    """End a descriptor; its wallets are ended by the caller."""
    session.execute(
        update(Descriptor).where(col(Descriptor.id) == descriptor_id).values(closed_at=now)
    )


def wallets_of(session: Session, descriptor_id: int) -> list[Wallet]:
    """The open wallets at its places, by branch and index."""
    return list(
        session.exec(
            select(Wallet)
            .where(Wallet.descriptor_id == descriptor_id, col(Wallet.closed_at).is_(None))
            .order_by(col(Wallet.branch), col(Wallet.child_index))
        )
    )


def places_had(session: Session, descriptor_id: int) -> set[Place]:
    """The places at which it has, or ever had, a wallet."""
    rows = session.exec(
        select(Wallet.branch, Wallet.child_index).where(Wallet.descriptor_id == descriptor_id)
    )
    return {(branch, index) for branch, index in rows if branch is not None and index is not None}


def link(session: Session, wallet_id: int, descriptor_id: int, place: Place) -> None:
    """Note at which place of a descriptor a wallet stands that was known before it."""
    session.execute(
        update(Wallet)
        .where(col(Wallet.id) == wallet_id)
        .values(descriptor_id=descriptor_id, branch=place[0], child_index=place[1])
    )


def unlink(session: Session, wallet_ids: Collection[int]) -> None:
    """Let wallets that were known before their descriptor stand by themselves again."""
    session.execute(
        update(Wallet)
        .where(col(Wallet.id).in_(wallet_ids))
        .values(descriptor_id=None, branch=None, child_index=None)
    )


def places_at(
    session: Session, chain: str, keys: Collection[bytes]
) -> dict[int, set[Place]]:
    """The places of open descriptors that are at these keys, by descriptor."""
    if not keys:
        return {}
    return _by_descriptor(
        session.exec(
            select(Wallet.descriptor_id, Wallet.branch, Wallet.child_index)
            .join(Descriptor)
            .where(
                Wallet.chain == chain,
                among(Wallet.key, keys),
                col(Wallet.closed_at).is_(None),
                col(Descriptor.closed_at).is_(None),
            )
        )
    )


def places_moved(session: Session) -> dict[int, set[Place]]:
    """The highest place of each branch that the ledger ever saw used, by open descriptor."""
    moved = exists().where(
        col(Movement.wallet_id) == func.coalesce(Wallet.tenure_id, Wallet.id),
        col(Movement.canonical),
    )
    return _by_descriptor(
        session.exec(
            select(Wallet.descriptor_id, Wallet.branch, func.max(Wallet.child_index))
            .join(Descriptor)
            .where(
                col(Wallet.closed_at).is_(None), col(Descriptor.closed_at).is_(None), moved
            )
            .group_by(col(Wallet.descriptor_id), col(Wallet.branch))
        )
    )


def counts(session: Session) -> dict[int, Counts]:
    """How far the wallets of each open descriptor are."""
    rows = session.exec(
        select(
            Wallet.descriptor_id,
            func.count(),
            func.count().filter(col(Wallet.opening_known)),
            func.count().filter(
                ~col(Wallet.opening_known), col(Wallet.opening_note).is_not(None)
            ),
        )
        .where(col(Wallet.closed_at).is_(None), col(Wallet.descriptor_id).is_not(None))
        .group_by(col(Wallet.descriptor_id))
    )
    used = places_moved(session)
    return {
        descriptor_id: Counts(
            wallets, opened, refused, tuple(sorted(used.get(descriptor_id, ())))
        )
        for descriptor_id, wallets, opened, refused in rows
        if descriptor_id is not None
    }


def first_note(session: Session, descriptor_id: int) -> str | None:
    """Why the opening of one of its wallets cannot be had; None where none is refused."""
    return session.exec(
        select(Wallet.opening_note)
        .where(
            Wallet.descriptor_id == descriptor_id,
            col(Wallet.closed_at).is_(None),
            col(Wallet.opening_known).is_(False),
            col(Wallet.opening_note).is_not(None),
        )
        .order_by(col(Wallet.id))
        .limit(1)
    ).first()


def _by_descriptor(
    rows: Iterable[tuple[int | None, int | None, int | None]],
) -> dict[int, set[Place]]:
    found: dict[int, set[Place]] = {}
    for descriptor_id, branch, index in rows:
        if descriptor_id is not None and branch is not None and index is not None:
            found.setdefault(descriptor_id, set()).add((branch, index))
    return found
