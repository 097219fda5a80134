"""`/v1/registry`: what the registry is brought in line with, bundled or attested."""

from __future__ import annotations

from fastapi import APIRouter

from tracker.api.auth import WRITE
from tracker.api.context import Ctx
from tracker.api.schemas.operations import AttestedResult, AttestedSet, SyncResult
from tracker.api.withdrawal import withdraw
from tracker.doorbell import BACKFILL, PUBLISH
from tracker.registry import attested, repository

router = APIRouter(prefix="/v1/registry", tags=["registry"], dependencies=[WRITE])

# Shorter than the minute for which the command line waits.
_FETCH_SECONDS = 45.0


@router.post("/sync")
def sync(context: Ctx) -> SyncResult:
    """Bring registry, facts and the alerts on them to what this version ships; idempotent."""
    context.services.sync(even_if_unchanged=True)
    context.services.doorbell.ring(PUBLISH)
    return SyncResult(synced_at=context.now())


@router.post("/attested")
def sync_attested(context: Ctx, body: AttestedSet) -> AttestedResult:
    """Make the set on the holder's own server its attested wallets of that source.

    What the set no longer names is closed, and alerts that rested on it are judged anew. A server
    that cannot be reached, or answers with an empty set, changes nothing.
    """
    source = attested.endpoint(body.url, body.wallet_id)
    with context.database.transaction(snapshot=True) as session:
        repository.get_entity(session, body.entity)
    reply = attested.get(
        source, timeout_seconds=_FETCH_SECONDS, user_agent=context.settings.user_agent
    )
    with context.database.transaction() as session:
        report = attested.sync_attested(
            session,
            body.entity,
            body.url,
            body.wallet_id,
            context.now(),
            network=context.settings.bitcoin_network,
            fetch=lambda _: reply,
        )
        changed = withdraw(
            session, report.removal, context, why=f"{source} no longer names the address"
        )
    context.services.doorbell.ring(PUBLISH)
    context.services.doorbell.ring(BACKFILL)
    return AttestedResult.model_validate(
        {
            "entity": body.entity,
            "source": report.source,
            "opened": report.opened,
            "kept": report.kept,
            "closed": len(report.removal.wallets),
            "rejected": report.rejected,
            "alerts_changed": changed,
        },
        from_attributes=True,
    )
