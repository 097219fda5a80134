"""SQL of label packs and their rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, func, update
from sqlmodel import Session, col, select

from tracker.db.copying import copy_rows
from tracker.db.registry import Label, LabelPack, Wallet
from tracker.registry.repository import among


@dataclass(frozen=True, slots=True)
class PackSummary:
    """A label pack and how many open rows it has."""

    pack: LabelPack
    labels: int
    wallets: int


def find_pack(session: Session, name: str) -> LabelPack | None:
    """The label pack of this name, or None."""
    return session.exec(select(LabelPack).where(LabelPack.name == name)).one_or_none()


def save_pack(session: Session, pack: LabelPack) -> None:
    """Write a new pack or the changes made to one; its id is set."""
    session.add(pack)
    session.flush()


def list_packs(session: Session) -> list[PackSummary]:
    """Every pack that has open rows, by name, with these counted."""
    query = select(LabelPack, _open_rows(Label), _open_rows(Wallet)).order_by(LabelPack.name)
    return [
        PackSummary(pack, labels, wallets)
        for pack, labels, wallets in session.exec(query)
        if labels or wallets
    ]


def labels_of(session: Session, pack_id: int) -> list[Label]:
    """The open labels of a pack, by chain and address."""
    query = select(Label).where(Label.pack_id == pack_id, col(Label.closed_at).is_(None))
    return list(session.exec(query.order_by(Label.chain, Label.address, Label.name)))


def insert_labels(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert open labels in bulk; every row gives the same columns."""
    copy_rows(session, Label, rows)


def close_labels(session: Session, ids: Collection[int], now: datetime) -> None:
    """Close label rows."""
    session.execute(update(Label).where(among(Label.id, ids, BigInteger)).values(closed_at=now))


def _open_rows(table: type[Label | Wallet]) -> Any:
    query = select(func.count()).where(
        table.pack_id == LabelPack.id, col(table.closed_at).is_(None)
    )
    return query.correlate(LabelPack).scalar_subquery()
