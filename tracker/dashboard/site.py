"""The API with the page on it: one application for `tracker api`."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from tracker.api.app import create_app
from tracker.api.context import Services
from tracker.dashboard import pages


def create_site(services: Services) -> FastAPI:
    """The API and the page over `services`."""
    app = create_app(services)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    return app
