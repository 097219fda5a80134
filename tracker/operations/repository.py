"""All SQL of bearer keys, source states and heartbeats."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from tracker.db.operations import ApiKey, Heartbeat, SourceStatus, SyncMark


def add_key(session: Session, key: ApiKey) -> None:
    """Store a new bearer key; its id is set."""
    session.add(key)
    session.flush()


def list_keys(session: Session) -> Sequence[ApiKey]:
    """Every key, oldest first, the revoked ones too."""
    return session.exec(select(ApiKey).order_by(col(ApiKey.id))).all()


def lock_key(session: Session, key_id: int) -> ApiKey | None:
    """The key of this id, its row held until the transaction ends."""
    return session.exec(select(ApiKey).where(ApiKey.id == key_id).with_for_update()).one_or_none()


def usable_keys(session: Session, prefix: str | None = None) -> Sequence[ApiKey]:
    """Keys that are not revoked; only those that begin with `prefix` where one is given."""
    query = select(ApiKey).where(col(ApiKey.revoked_at).is_(None))
    return session.exec(query if prefix is None else query.where(ApiKey.prefix == prefix)).all()


def upsert_source(
    session: Session,
    *,
    name: str,
    kind: str,
    state: str,
    now: datetime,
    height: int | None = None,
    latency_ms: int | None = None,
    last_ok: datetime | None = None,
    last_error: str | None = None,
    next_try: datetime | None = None,
) -> None:
    """Write the newest state of a source. A null `height` or `last_ok` keeps the one known before.

    `latency_ms` is in milliseconds.
    """
    row = insert(SourceStatus).values(
        name=name,
        kind=kind,
        state=state,
        height=height,
        latency_ms=latency_ms,
        last_ok=last_ok,
        last_error=last_error,
        next_try=next_try,
        updated_at=now,
    )
    new = row.excluded
    session.execute(
        row.on_conflict_do_update(
            index_elements=["name"],
            set_={
                "kind": new.kind,
                "state": new.state,
                "height": func.coalesce(new.height, col(SourceStatus.height)),
                "latency_ms": new.latency_ms,
                "last_ok": func.coalesce(new.last_ok, col(SourceStatus.last_ok)),
                "last_error": new.last_error,
                "next_try": new.next_try,
                "updated_at": new.updated_at,
            },
        )
    )


def forget_sources(session: Session, kind: str, before: datetime) -> None:
    """Remove sources whose kind begins with `kind` and that nobody has reported of since `before`.

    A source that left the settings would else stand there for ever with its last state.
    """
    session.execute(
        delete(SourceStatus).where(
            col(SourceStatus.kind).startswith(kind, autoescape=True),
            col(SourceStatus.updated_at) < before,
        )
    )


def list_sources(session: Session) -> Sequence[SourceStatus]:
    """Every source that has reported, by kind and name."""
    return session.exec(
        select(SourceStatus).order_by(col(SourceStatus.kind), col(SourceStatus.name))
    ).all()


def beat(session: Session, queue: str, now: datetime) -> None:
    """Note that `queue` ran its canary at `now`."""
    row = insert(Heartbeat).values(queue=queue, beat_at=now)
    session.execute(
        row.on_conflict_do_update(index_elements=["queue"], set_={"beat_at": row.excluded.beat_at})
    )


def heartbeats(session: Session) -> Sequence[Heartbeat]:
    """When each queue last ran its canary, by name."""
    return session.exec(select(Heartbeat).order_by(col(Heartbeat.queue))).all()


def schema_revision(session: Session) -> str | None:
    """The migration that the database stands at; None where it was never migrated."""
    known = session.execute(text("select to_regclass('alembic_version')")).scalar_one()
    if known is None:
        return None
    revision: str | None = session.execute(
        text("select version_num from alembic_version")
    ).scalar_one_or_none()
    return revision


def sync_mark(session: Session, name: str) -> str | None:
    """The digest of what was synchronised last under `name`."""
    return session.exec(select(SyncMark.digest).where(SyncMark.name == name)).first()


def set_sync_mark(session: Session, name: str, digest: str, now: datetime) -> None:
    """Remember what was synchronised."""
    row = insert(SyncMark).values(name=name, digest=digest, at=now)
    session.execute(
        row.on_conflict_do_update(
            index_elements=["name"],
            set_={"digest": row.excluded.digest, "at": row.excluded.at},
        )
    )
