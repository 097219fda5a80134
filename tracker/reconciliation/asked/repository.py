"""SQL of requests to reconcile now, and of what reconciliation shows to people."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from tracker.db.operations import SyncMark
from tracker.db.reconciliation import Discrepancy, Probe
from tracker.db.registry import Wallet

# A request is a mark of this name and the entity's slug, or nothing for all.
_PREFIX = "reconcile:"


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asked at `asked_at` to reconcile an entity (by slug), or all (None).

    `answered_at` is None while it waits; `answer` says by chain what was done.
    """

    entity: str | None
    asked_at: datetime
    answered_at: datetime | None = None
    answer: Mapping[str, Any] | None = None


def ask(session: Session, entity: str | None, now: datetime) -> Request:
    """Ask for a reconciliation; one that waits already is asked anew."""
    row = insert(SyncMark).values(
        name=f"{_PREFIX}{entity or ''}", digest=_text({"asked_at": now.isoformat()}), at=now
    )
    session.execute(
        row.on_conflict_do_update(
            index_elements=["name"], set_={"digest": row.excluded.digest, "at": row.excluded.at}
        )
    )
    return Request(entity, now)


def request_of(session: Session, entity: str | None) -> Request | None:
    """The newest request for an entity, or for all, answered or not."""
    found = session.exec(
        select(SyncMark).where(SyncMark.name == f"{_PREFIX}{entity or ''}")
    ).first()
    return None if found is None else _request(found)


def waiting(session: Session) -> list[Request]:
    """Requests that nobody answered yet, oldest first."""
    rows = session.exec(
        select(SyncMark).where(col(SyncMark.name).startswith(_PREFIX)).order_by(col(SyncMark.at))
    )
    return [found for found in map(_request, rows) if found.answered_at is None]


def answer(session: Session, request: Request, done: Mapping[str, Any], now: datetime) -> None:
    """Note by chain what was done; a request that was asked anew meanwhile waits still."""
    asked = {"asked_at": request.asked_at.isoformat()}
    session.execute(
        update(SyncMark)
        .where(
            col(SyncMark.name) == f"{_PREFIX}{request.entity or ''}",
            col(SyncMark.digest) == _text(asked),
        )
        .values(digest=_text({**asked, "answer": dict(done)}), at=now)
    )


def newest_probes(session: Session, tenure_ids: Collection[int]) -> list[Probe]:
    """The newest probe of every asset of these tenures."""
    return list(
        session.exec(
            select(Probe)
            .where(col(Probe.wallet_id).in_(tenure_ids))
            .order_by(col(Probe.wallet_id), col(Probe.asset))
        )
    )


def addresses_of(session: Session, wallet_ids: Collection[int]) -> dict[int, str]:
    """The address of each wallet row, closed ones too."""
    rows = session.exec(
        select(Wallet.id, Wallet.address).where(col(Wallet.id).in_(wallet_ids))
    )
    return {key: address for key, address in rows if key is not None}


def count_open(session: Session, entity_id: int | None = None) -> int:
    """How many discrepancies nothing explains, of one entity or of all."""
    query = (
        select(func.count())
        .select_from(Discrepancy)
        .where(Discrepancy.state == "open", col(Discrepancy.canonical))
    )
    if entity_id is not None:
        query = query.where(Discrepancy.entity_id == entity_id)
    return session.exec(query).one()


def _request(row: SyncMark) -> Request:
    said = json.loads(row.digest)
    answered = said.get("answer")
    return Request(
        entity=row.name.removeprefix(_PREFIX) or None,
        asked_at=datetime.fromisoformat(said["asked_at"]),
        answered_at=None if answered is None else row.at,
        answer=answered,
    )


def _text(said: Mapping[str, Any]) -> str:
    return json.dumps(said, sort_keys=True)
