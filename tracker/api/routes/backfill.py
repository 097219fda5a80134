"""`/v1/backfill`: read the history of wallets, and see how far it is."""

from __future__ import annotations

from fastapi import APIRouter

from tracker.api.auth import READ, WRITE
from tracker.api.context import Context, Ctx
from tracker.api.paging import EARLIEST, Page
from tracker.api.schemas.backfill import BackfillItem, LeftOut, NewBackfill, StartedBackfill
from tracker.doorbell import BACKFILL
from tracker.errors import InputError
from tracker.registry.records import record
from tracker.scanning import backfill_requests, block_times
from tracker.scanning.backfill_requests import Progress
from tracker.scanning.jobs import repository as jobs

router = APIRouter(prefix="/v1/backfill", tags=["wallets"])


@router.get("", dependencies=[READ])
def list_backfills(context: Ctx) -> Page[BackfillItem]:
    """The newest hundred, each with how far it is."""
    with context.database.transaction(snapshot=True) as session:
        found = backfill_requests.progress(session, jobs.list_jobs(session))
    return Page(items=[_item(each) for each in found], next=None)


@router.post("", dependencies=[WRITE], status_code=201)
def start_backfill(context: Ctx, body: NewBackfill) -> StartedBackfill:
    """Read the blocks from a height or date up to the wallets' openings, in the background.

    No balance changes: what they held at first becomes dated movements. Nothing found is news. A
    date is looked up in the times of some blocks, which a source is asked for.
    """
    from_height = _height(context, body.chain, body.from_)
    with context.database.transaction() as session:
        started = backfill_requests.start(
            session,
            chain=body.chain,
            entity=body.entity,
            named=body.addresses,
            from_height=from_height,
            now=context.now(),
            network=context.settings.bitcoin_network,
        )
        (shown,) = backfill_requests.progress(session, [started.job])
    context.services.doorbell.ring(BACKFILL)
    return StartedBackfill(
        **dict(_item(shown)),
        left_out=[LeftOut(address=each, reason=why) for each, why in started.left_out.items()],
    )


@router.delete("/{job_id}", dependencies=[WRITE])
def cancel_backfill(context: Ctx, job_id: int) -> BackfillItem:
    """End it where it stands. What was dated stays."""
    with context.database.transaction() as session:
        job = backfill_requests.cancel(session, job_id, context.now())
        (shown,) = backfill_requests.progress(session, [job])
    return _item(shown)


def _height(context: Context, chain: str, given: int | str) -> int:
    """The height that was given, or a little below the first block of the date that was."""
    text = str(given).strip()
    if text.lstrip("-").isdecimal() and text.isascii():
        return int(text)
    at = record(**{"from": text}).instant("from")
    if at is None or not EARLIEST <= at <= context.now():
        raise InputError(
            "no height, and no date at which there were blocks", field="from", value=text,
            mend="give a height, or a date from 2009-01-03 to today",
        )  # fmt: skip
    if chain == "bitcoin":
        return block_times.bitcoin_height(context.services.bitcoin_pool, at)
    if chain == "ethereum":
        return block_times.ethereum_height(context.services.ethereum_pool, at)
    raise InputError(
        "unknown chain", field="chain", value=chain, mend="use bitcoin or ethereum"
    )


def _item(shown: Progress) -> BackfillItem:
    job = shown.job
    return BackfillItem(
        id=job.id or 0,
        chain=job.chain,
        entities=list(shown.entities),
        wallets=len(job.wallet_ids),
        from_height=job.from_height,
        to_height=job.to_height,
        next_height=job.next_height,
        percent=str(shown.percent),
        blocks_per_second=None if shown.rate is None else str(shown.rate),
        eta_seconds=shown.eta_seconds,
        movements=job.movements,
        state=job.state,
        waits=shown.waits,
        error=job.error,
        created_at=job.created_at,
        updated_at=job.updated_at,
    )
