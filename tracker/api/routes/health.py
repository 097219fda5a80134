"""`/healthz`: the process answers. `/readyz`: it can do its work."""

from __future__ import annotations

from fastapi import APIRouter, Response

from tracker import __version__
from tracker.api.context import Ctx
from tracker.api.schemas.operations import Health, Readiness, ReadyCheck
from tracker.operations import readiness

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> Health:
    """The process is up; says nothing of its servers."""
    return Health(status="ok", version=__version__)


@router.get("/readyz", responses={503: {"model": Readiness}})
def readyz(context: Ctx, response: Response) -> Readiness:
    """Database, schema and broker are there; 503 with the reasons where one is not."""
    checks = readiness.check(context.database, context.settings.redis_url)
    ready = all(check.ok for check in checks)
    if not ready:
        response.status_code = 503
    return Readiness(
        status="ready" if ready else "not_ready",
        checks=[ReadyCheck.model_validate(check) for check in checks],
    )
