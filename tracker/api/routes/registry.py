"""`/v1/registry/sync`: bring the bundled registry and facts into the database."""

from __future__ import annotations

from fastapi import APIRouter

from tracker.api.auth import WRITE
from tracker.api.context import Ctx
from tracker.api.schemas.operations import SyncResult
from tracker.doorbell import PUBLISH

router = APIRouter(prefix="/v1/registry", tags=["registry"])


@router.post("/sync", dependencies=[WRITE])
def sync(context: Ctx) -> SyncResult:
    """Bring registry, facts and the alerts on them to what this version ships; idempotent."""
    context.services.sync(even_if_unchanged=True)
    context.services.doorbell.ring(PUBLISH)
    return SyncResult(synced_at=context.now())
