"""All SQL of alerts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, String, exists, or_, text, tuple_, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlmodel import Session, col, select

from tracker.db.alerts import Alert, AlertGround, AlertRevision
from tracker.db.chain import Movement, Transfer
from tracker.db.events import Event
from tracker.db.registry import Wallet, WatchSet
from tracker.detection.clips import clip_of
from tracker.registry.repository import among

_SEVERITY_RANK = {"info": 0, "warning": 1, "critical": 2}
_LOCK_SPACE = 0x616C  # keeps our advisory locks apart from other users of the database


def lock_entity(session: Session, entity_id: int) -> None:
    """Let one transaction at a time change the alerts of an entity."""
    session.execute(
        text("select pg_advisory_xact_lock(:space, :id)"), {"space": _LOCK_SPACE, "id": entity_id}
    )


# -- writing ---------------------------------------------------------------------------------------


def save(session: Session, row: Alert | AlertGround) -> None:
    """Insert or update an alert or a piece of its ground."""
    session.add(row)
    session.flush()


def add_revision(session: Session, revision: AlertRevision) -> None:
    """Append a revision."""
    session.add(revision)
    session.flush()


def put_ground(session: Session, ground: AlertGround) -> None:
    """Insert a piece of ground, or set it anew (a re-mined transaction stands in another block)."""
    row = ground.model_dump()
    session.execute(
        insert(AlertGround)
        .values(row)
        .on_conflict_do_update(
            index_elements=["alert_id", "ref"],
            set_={name: row[name] for name in row if name not in ("alert_id", "ref")},
        )
    )


def hold_scan(session: Session, chain: str) -> None:
    """Let no block of `chain` be applied or rolled back until the transaction ends.

    A block in flight is waited for: what it wrote is seen by the next statement.
    """
    session.execute(select(WatchSet.version).where(WatchSet.chain == chain).with_for_update())


def mark_final(session: Session, chain: str, height: int) -> int:
    """Set `final` on alerts whose every standing chain ground is at or below `height`."""
    result = session.execute(
        text(
            """
            update alert a set finality = 'final'
            where a.finality <> 'final' and a.status in ('open', 'closed')
              and exists (select 1 from alert_ground g where g.alert_id = a.id
                          and g.chain = :chain and g.standing)
              and not exists (select 1 from alert_ground g where g.alert_id = a.id
                              and g.standing and g.chain is not null
                              and (g.chain <> :chain or g.height > :height))
            returning a.id
            """
        ),
        {"chain": chain, "height": height},
    )
    return len(result.all())


# -- reading ---------------------------------------------------------------------------------------


def find_alert(session: Session, alert_id: str) -> Alert | None:
    """One alert."""
    return session.get(Alert, alert_id, populate_existing=True)


def list_alerts(
    session: Session,
    *,
    entity_id: int | None = None,
    rule: str | None = None,
    min_severity: str | None = None,
    historical: bool | None = None,
    status: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int = 100,
) -> list[Alert]:
    """Alerts, newest opened first; `before` is (opened_at, id) of the last one seen."""
    query = select(Alert)
    if entity_id is not None:
        query = query.where(Alert.entity_id == entity_id)
    if rule is not None:
        query = query.where(Alert.rule == rule)
    if min_severity is not None:
        least = _SEVERITY_RANK[min_severity]
        query = query.where(
            col(Alert.severity).in_(
                [name for name, rank in _SEVERITY_RANK.items() if rank >= least]
            )
        )
    if historical is not None:
        query = query.where(Alert.historical == historical)
    if status is not None:
        query = query.where(Alert.status == status)
    if before is not None:
        query = query.where(tuple_(col(Alert.opened_at), col(Alert.id)) < before)
    return list(
        session.exec(query.order_by(col(Alert.opened_at).desc(), col(Alert.id).desc()).limit(limit))
    )


def alerts_of(session: Session, entity_id: int, rule: str, asset: str) -> list[Alert]:
    """Every alert of one rule, entity and asset, newest first."""
    return list(
        session.exec(
            select(Alert)
            .where(Alert.entity_id == entity_id, Alert.rule == rule, Alert.asset == asset)
            .order_by(col(Alert.updated_at).desc())
        )
    )


def assets_alerted(session: Session, entity_id: int, rule: str) -> set[str]:
    """The assets of an entity about which a rule has ever said something."""
    return set(
        session.exec(
            select(Alert.asset).where(Alert.entity_id == entity_id, Alert.rule == rule).distinct()
        )
    )


def last_alerts(session: Session) -> dict[int, Alert]:
    """The newest alert of each entity that was not retracted."""
    rows = session.exec(
        select(Alert)
        .where(Alert.status != "retracted")
        .ext(distinct_on(col(Alert.entity_id)))
        .order_by(col(Alert.entity_id), col(Alert.updated_at).desc())
    )
    return {alert.entity_id: alert for alert in rows}


def revisions_of(session: Session, alert_ids: Collection[str]) -> dict[str, list[AlertRevision]]:
    """Revisions by alert, oldest first."""
    rows = session.exec(
        select(AlertRevision)
        .where(col(AlertRevision.alert_id).in_(alert_ids))
        .order_by(col(AlertRevision.alert_id), col(AlertRevision.revision))
    )
    found: dict[str, list[AlertRevision]] = {alert_id: [] for alert_id in alert_ids}
    for row in rows:
        found[row.alert_id].append(row)
    return found


def grounds_of(session: Session, alert_ids: Collection[str]) -> dict[str, list[AlertGround]]:
    """Ground by alert, oldest first (by the time of the clip)."""
    rows = session.exec(
        select(AlertGround)
        .where(col(AlertGround.alert_id).in_(alert_ids))
        .execution_options(populate_existing=True)
    )
    found: dict[str, list[AlertGround]] = {alert_id: [] for alert_id in alert_ids}
    # Sorted here: a database's collation may order the text of times and refs otherwise.
    for row in sorted(rows, key=lambda row: (clip_of(row.data).at, row.ref)):
        found[row.alert_id].append(row)
    return found


def grounds_with_ref(session: Session, refs: Collection[str]) -> list[AlertGround]:
    """Ground of any alert that cites one of `refs`."""
    return list(
        session.exec(
            select(AlertGround)
            .where(col(AlertGround.ref).in_(refs))
            .execution_options(populate_existing=True)
        )
    )


def grounds_in_blocks(session: Session, chain: str, hashes: Sequence[bytes]) -> list[AlertGround]:
    """Standing ground in any of these blocks."""
    return list(
        session.exec(
            select(AlertGround).where(
                AlertGround.chain == chain,
                col(AlertGround.block_hash).in_(hashes),
                col(AlertGround.standing),
            )
        )
    )


def grounds_on(
    session: Session, chain: str, transfer_ids: Collection[str], venue_keys: Collection[bytes]
) -> list[AlertGround]:
    """Standing ground that cites one of the transfers, or a venue known by one of the keys."""
    shown = col(AlertGround.data)["shown"]
    return list(
        session.exec(
            select(AlertGround)
            .where(
                AlertGround.chain == chain,
                col(AlertGround.standing),
                or_(
                    among(shown["transfer"].astext, transfer_ids, String),
                    among(shown["venue_key"].astext, [key.hex() for key in venue_keys], String),
                ),
            )
            .execution_options(populate_existing=True)
        )
    )


def wallets_open(session: Session, transfer_id: str) -> bool:
    """Whether a wallet whose coins moved in the transfer is still believed to be the entity's."""
    return (
        session.exec(
            select(Wallet.id)
            .join(
                Movement,
                (col(Movement.chain) == col(Wallet.chain))
                & (col(Movement.key) == col(Wallet.key))
                & (col(Movement.entity_id) == col(Wallet.entity_id)),
            )
            .join(
                Transfer,
                (col(Transfer.chain) == col(Movement.chain))
                & (col(Transfer.block_hash) == col(Movement.block_hash))
                & (col(Transfer.tx) == col(Movement.tx))
                & (col(Transfer.entity_id) == col(Movement.entity_id)),
            )
            .where(Transfer.id == transfer_id, col(Wallet.closed_at).is_(None))
            .limit(1)
        ).first()
        is not None
    )


def suspended_at_or_below(session: Session, chain: str, height: int) -> list[Alert]:
    """Alerts on `chain` whose ground was orphaned and whose old height the branch has reached."""
    return list(
        session.exec(
            select(Alert).where(
                col(Alert.suspended_height).is_not(None),
                col(Alert.suspended_height) <= height,
                _stands_on(chain),
            )
        )
    )


def open_since_before(session: Session, chain: str, at: datetime) -> list[Alert]:
    """Open alerts on `chain` of which nothing new was said since `at`."""
    return list(
        session.exec(
            select(Alert)
            .where(Alert.status == "open", Alert.updated_at < at, _stands_on(chain))
            .order_by(col(Alert.id))
        )
    )


def _stands_on(chain: str) -> ColumnElement[bool]:
    return exists().where(
        col(AlertGround.alert_id) == col(Alert.id), col(AlertGround.chain) == chain
    )


def sold_between(
    session: Session,
    entity_id: int,
    asset: str,
    *,
    since: datetime,
    until: datetime,
    besides: str,
) -> bool:
    """Whether a canonical transfer from `since` to before `until` was taken for a sale."""
    return (
        session.exec(
            select(Transfer.id)
            .where(
                Transfer.entity_id == entity_id,
                Transfer.asset == asset,
                Transfer.intent == "sale",
                col(Transfer.canonical),
                Transfer.time >= since,
                Transfer.time < until,
                Transfer.id != besides,
            )
            .limit(1)
        ).first()
        is not None
    )


def last_event_id(session: Session, alert_id: str) -> str | None:
    """The id of the event that was told last about an alert; None where none was."""
    query = select(Event.id).where(Event.alert_id == alert_id)
    return session.exec(query.order_by(col(Event.seq).desc()).limit(1)).first()


def transfers_naming(session: Session, chain: str, keys: Collection[bytes]) -> list[Transfer]:
    """Canonical transfers whose counterparties include one of `keys`."""
    rows = session.execute(
        text(
            """
            select t.id from transfer t
            where t.chain = :chain and t.canonical and exists (
              select 1 from jsonb_array_elements(t.counterparties) c
              where c->>'key' = any(:keys))
            """
        ),
        {"chain": chain, "keys": [key.hex() for key in keys]},
    )
    ids = [row[0] for row in rows]
    return list(session.exec(select(Transfer).where(among(Transfer.id, ids, String))))


def transfers_of_wallets(session: Session, chain: str, keys: Collection[bytes]) -> list[Transfer]:
    """Canonical transfers in which coins at one of the addresses moved."""
    pairs = select(Movement.tx, Movement.entity_id).where(
        Movement.chain == chain, among(Movement.key, keys), col(Movement.canonical)
    )
    return list(
        session.exec(
            select(Transfer).where(
                Transfer.chain == chain,
                tuple_(col(Transfer.tx), col(Transfer.entity_id)).in_(pairs),
                col(Transfer.canonical),
            )
        )
    )


def acknowledge(session: Session, alert_id: str, now: datetime) -> None:
    """Note that a person has seen the alert."""
    session.execute(update(Alert).where(col(Alert.id) == alert_id).values(acknowledged_at=now))


def mute(session: Session, alert_id: str, until: datetime | None) -> None:
    """Keep further revisions of the alert from being delivered until a time (None: deliver)."""
    session.execute(update(Alert).where(col(Alert.id) == alert_id).values(muted_until=until))
