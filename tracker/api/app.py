"""The FastAPI application: routers, errors, and what guards them."""

from __future__ import annotations

from fastapi import Depends, FastAPI

from tracker import __version__
from tracker.api import problems
from tracker.api.context import Context, Services
from tracker.api.guard import Guard, declared_only
from tracker.api.routes import (
    alerts,
    backfill,
    chains,
    descriptors,
    disclosures,
    entities,
    events,
    health,
    holdings,
    labels,
    mnav,
    operations,
    reconciliation,
    registry,
    wallets,
    webhooks,
)

_PROBLEM = {"model": problems.Problem, "description": "What is wrong, and the mend"}


def create_app(services: Services) -> FastAPI:
    """The API over `services`; `tracker.dashboard.site` adds the page."""
    app = FastAPI(
        title="Treasury Tracker",
        version=__version__,
        description="Named treasuries: holdings, mNAV, and who starts to sell.",
        openapi_url="/openapi.json",
        # The interactive pages load scripts from elsewhere, which this service never does.
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(declared_only)],
        responses={"4XX": _PROBLEM, "5XX": _PROBLEM},
    )
    app.state.context = Context(services)
    problems.install(app)
    app.add_middleware(Guard, bound=services.settings.host)
    for noun in (
        health,
        entities,
        wallets,
        descriptors,
        backfill,
        holdings,
        disclosures,
        mnav,
        alerts,
        events,
        webhooks,
        labels,
        registry,
        chains,
        reconciliation,
        operations,
    ):
        app.include_router(noun.router)
    return app
