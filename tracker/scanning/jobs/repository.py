"""SQL of backfill jobs."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func, update
from sqlmodel import Session, col, select

from tracker.db.reconciliation import BackfillJob
from tracker.db.registry import Entity, Wallet
from tracker.errors import InputError

UNFINISHED = ("waiting", "running")


def next_job(session: Session, chain: str) -> BackfillJob | None:
    """The oldest unfinished range of a chain, detached from the session."""
    job = session.exec(
        select(BackfillJob)
        .where(BackfillJob.chain == chain, col(BackfillJob.state).in_(UNFINISHED))
        .order_by(col(BackfillJob.id))
        .limit(1)
    ).first()
    if job is not None:
        session.expunge(job)
    return job


def wallets_of(session: Session, job: BackfillJob) -> dict[int, Wallet]:
    """The job's wallets that are open and opened, of enabled holders, by tenure.

    Those of one that is switched off start anew when it is on again: they never come back.
    """
    tenure = func.coalesce(Wallet.tenure_id, Wallet.id)
    rows = session.exec(
        select(Wallet)
        .join(Entity)
        .where(
            tenure.in_(job.wallet_ids),
            col(Wallet.closed_at).is_(None),
            col(Wallet.opening_known),
            col(Entity.enabled),
        )
        .execution_options(populate_existing=True)
    ).all()
    for row in rows:
        session.expunge(row)
    return {row.tenure_id or row.id or 0: row for row in rows}


def awaiting(session: Session, job: BackfillJob) -> bool:
    """Whether a wallet of the job lost its opening to a reorganisation, and it is taken again."""
    tenure = func.coalesce(Wallet.tenure_id, Wallet.id)
    query = (
        select(Wallet.id)
        .join(Entity)
        .where(
            tenure.in_(job.wallet_ids),
            col(Wallet.closed_at).is_(None),
            col(Wallet.opening_known).is_(False),
            col(Wallet.opening_note).is_(None),
            col(Entity.enabled),
        )
    )
    return session.exec(query).first() is not None


def stands_at(session: Session, job: BackfillJob) -> int | None:
    """The job's next height as stored, held until the transaction ends; None where it ended."""
    return session.exec(
        select(BackfillJob.next_height)
        .where(BackfillJob.id == job.id, col(BackfillJob.state).in_(UNFINISHED))
        .with_for_update()
    ).first()


def save(session: Session, job: BackfillJob, now: datetime) -> None:
    """Write how far a job is; one that was cancelled meanwhile stays so."""
    session.execute(
        update(BackfillJob)
        .where(col(BackfillJob.id) == job.id, col(BackfillJob.state).in_(UNFINISHED))
        .values(
            next_height=job.next_height,
            last_hash=job.last_hash,
            first_parent=job.first_parent,
            first_time=job.first_time,
            state=job.state,
            error=job.error,
            movements=job.movements,
            updated_at=now,
        )
    )


def add(
    session: Session,
    *,
    chain: str,
    wallets: Collection[Wallet],
    from_height: int,
    now: datetime,
) -> BackfillJob:
    """A new range from `from_height` to the newest opening of `wallets`, which must be opened.

    Raises `InputError` where their history is known from there on already, or there is no wallet.
    """
    newest = max((wallet.opening_height or 0 for wallet in wallets), default=None)
    if newest is None or newest < from_height:
        raise InputError(
            "no wallet is opened on this chain" if newest is None else "there is nothing to read",
            field="from_height",
            value=from_height,
            mend="add a wallet and wait for its opening"
            if newest is None
            else f"their history is known from block {newest + 1} on; choose an earlier block",
        )
    job = BackfillJob(
        chain=chain,
        wallet_ids=sorted(wallet.tenure_id or wallet.id or 0 for wallet in wallets),
        from_height=from_height,
        to_height=newest,
        next_height=from_height,
        created_at=now,
        updated_at=now,
    )
    session.add(job)
    session.flush()
    return job


def list_jobs(session: Session, limit: int = 100) -> list[BackfillJob]:
    """The newest jobs first."""
    return list(session.exec(select(BackfillJob).order_by(col(BackfillJob.id).desc()).limit(limit)))


def cancel(session: Session, job_id: int, now: datetime) -> bool:
    """Stop a range where it stands; what was dated stays. False where it had ended before."""
    found = session.execute(
        update(BackfillJob)
        .where(col(BackfillJob.id) == job_id, col(BackfillJob.state).in_(UNFINISHED))
        .values(state="cancelled", updated_at=now)
        .returning(col(BackfillJob.id))
    )
    return found.first() is not None


def get(session: Session, job_id: int) -> BackfillJob | None:
    """One job, whatever its state."""
    return session.get(BackfillJob, job_id)


def unfinished_of(session: Session, chain: str, tenures: Collection[int]) -> BackfillJob | None:
    """An unfinished job of a chain that reads for one of these wallets (by tenure)."""
    wanted = set(tenures)
    rows = session.exec(
        select(BackfillJob)
        .where(BackfillJob.chain == chain, col(BackfillJob.state).in_(UNFINISHED))
        .order_by(col(BackfillJob.id))
    )
    return next((job for job in rows if wanted & set(job.wallet_ids)), None)


def owners_of(session: Session, jobs: Collection[BackfillJob]) -> dict[int, set[int]]:
    """The entities for whose wallets each job reads, by job id."""
    tenures = {tenure for job in jobs for tenure in job.wallet_ids}
    found = session.exec(select(Wallet.id, Wallet.entity_id).where(col(Wallet.id).in_(tenures)))
    entities = dict(found.all())
    return {
        job.id: {entities[tenure] for tenure in job.wallet_ids if tenure in entities}
        for job in jobs
        if job.id is not None
    }
