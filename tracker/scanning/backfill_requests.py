"""Backfill as users ask for it: which wallets, from which height, and how far it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from sqlmodel import Session

from tracker.chains import address as addresses
from tracker.db.reconciliation import BackfillJob
from tracker.db.registry import Wallet
from tracker.errors import ConflictError, InputError, NotFoundError
from tracker.ledger import repository as ledger
from tracker.registry import repository as registry
from tracker.scanning.jobs import repository as jobs


@dataclass(frozen=True, slots=True)
class Progress:
    """A job and how far it is: `percent` 0 to 100, `rate` blocks a second since it was asked for.

    `rate` and `eta_seconds` are None where nothing was read yet, or nothing is left to read.
    `waits` says what it waits for, None where it does not.
    """

    job: BackfillJob
    percent: Decimal
    rate: Decimal | None
    eta_seconds: int | None
    entities: tuple[str, ...] = ()
    waits: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A new job; `left_out` are the wallets that it does not read for, each with why."""

    job: BackfillJob
    left_out: dict[str, str] = field(default_factory=dict)


def start(
    session: Session,
    *,
    chain: str,
    from_height: int,
    now: datetime,
    entity: str | None = None,
    named: Collection[str] = (),
    network: str = "mainnet",
) -> Started:
    """Ask for the history from block `from_height` on: of an entity, of addresses, of all wallets.

    Only wallets whose opening is known, at that height or above, are read for. Raises `InputError`
    where none is left, `NotFoundError` for an entity or address that is not known, and
    `ConflictError` where an unfinished job reads for one of them already.
    """
    if chain not in addresses.CHAINS:
        raise InputError(
            "unknown chain", field="chain", value=chain,
            mend=f"use one of {', '.join(addresses.CHAINS)}",
        )  # fmt: skip
    if from_height < 0:
        raise InputError(
            "no block is below 0", field="from", value=from_height,
            mend="give a height, or a date as 2024-01-31",
        )  # fmt: skip
    wallets = _wallets(session, chain, entity, named, network)
    left_out = {
        wallet.address: why
        for wallet in wallets
        if (why := _lacking(wallet, from_height)) is not None
    }
    chosen = [wallet for wallet in wallets if wallet.address not in left_out]
    if wallets and not chosen:
        raise InputError(
            next(iter(left_out.values())), field="from", value=from_height,
            mend="wait until its opening is taken (`tracker wallets list`)"
            if any(not wallet.opening_known for wallet in wallets)
            else "choose an earlier block",
        )  # fmt: skip
    busy = jobs.unfinished_of(
        session, chain, [wallet.tenure_id or wallet.id or 0 for wallet in chosen]
    )
    if busy is not None:
        raise ConflictError(
            f"job {busy.id} reads for one of these wallets already", field="addresses",
            value=f"blocks {busy.from_height} to {busy.to_height}",
            mend=f"wait for it, or end it: `tracker backfill cancel {busy.id}`",
        )  # fmt: skip
    job = jobs.add(session, chain=chain, wallets=chosen, from_height=from_height, now=now)
    return Started(job, left_out)


def cancel(session: Session, job_id: int, now: datetime) -> BackfillJob:
    """End a job where it stands. Raises `NotFoundError`, or `ConflictError` where it ended."""
    job = jobs.get(session, job_id)
    if job is None:
        raise NotFoundError(
            "no such backfill", field="id", value=job_id, mend="list them: `tracker backfill list`"
        )
    if not jobs.cancel(session, job_id, now):
        raise ConflictError(
            "this backfill has ended", field="id", value=f"{job_id}: {job.state}",
            mend="nothing is to be done",
        )  # fmt: skip
    session.refresh(job)
    return job


def progress(session: Session, found: Sequence[BackfillJob]) -> list[Progress]:
    """How far these jobs are, in the order given."""
    owners = jobs.owners_of(session, found)
    known = registry.entities_by_id(session, {each for ids in owners.values() for each in ids})
    cursors = {chain: ledger.cursor_of(session, chain) for chain in {job.chain for job in found}}
    final = {chain: cursor.final_height for chain, cursor in cursors.items() if cursor is not None}
    return [
        progress_of(
            job,
            tuple(sorted(known[each].slug for each in owners.get(job.id or 0, ()))),
            final.get(job.chain, -1),
        )
        for job in found
    ]


def progress_of(job: BackfillJob, entities: tuple[str, ...], final: int) -> Progress:
    """How far one job is, where its chain is `final` up to a height."""
    total = job.to_height - job.from_height + 1
    read = job.next_height - job.from_height
    left = total - read if job.state in jobs.UNFINISHED else 0
    seconds = Decimal(str((job.updated_at - job.created_at).total_seconds()))
    rate = None
    if read > 0 and seconds > 0:
        rate = (Decimal(read) / seconds).quantize(Decimal("0.01"))
    eta = int(left * seconds / read) if left and rate is not None else None
    percent = (Decimal(100 * read) / total).quantize(Decimal("0.1")) if total > 0 else Decimal(100)
    if left and job.next_height > final:
        waits = f"block {job.next_height} is not final yet"
        return Progress(job, percent, rate, None, entities, waits)
    return Progress(job, percent, rate, eta, entities)


def _wallets(
    session: Session, chain: str, entity: str | None, named: Collection[str], network: str
) -> list[Wallet]:
    if entity is not None and named:
        raise InputError(
            "an entity and addresses", field="addresses", value=f"{len(named)} of them",
            mend="give one or the other",
        )  # fmt: skip
    if named:
        return _at(session, chain, named, network)
    owner = None if entity is None else registry.get_entity(session, entity).id
    found = registry.open_wallets(session, entity_id=owner)
    return [wallet for wallet in found if wallet.chain == chain]


def _at(session: Session, chain: str, named: Collection[str], network: str) -> list[Wallet]:
    parsed = [addresses.parse(chain, text, network) for text in named]
    found = registry.open_at(session, chain, [each.key for each in parsed])
    for each in parsed:
        if each.key not in found:
            raise NotFoundError(
                "no wallet has this address", field="addresses", value=each.address,
                mend="add it first: `tracker wallets add`",
            )  # fmt: skip
    return list(found.values())


def _lacking(wallet: Wallet, from_height: int) -> str | None:
    """Why a job from this height does not read for a wallet; None where it does."""
    if not wallet.opening_known or wallet.opening_height is None:
        return wallet.opening_note or "its opening is not taken yet"
    if wallet.opening_height < from_height:
        return f"its history is known from block {wallet.opening_height + 1} on"
    return None
