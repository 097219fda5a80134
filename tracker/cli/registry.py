"""`tracker registry`: the bundled registry and facts."""

from __future__ import annotations

from typing import Any

import typer

from tracker.cli.output import Json, emit
from tracker.cli.service import client
from tracker.errors import SourceUnavailableError

app = typer.Typer(rich_markup_mode=None, help="The bundled registry and facts.")


@app.callback()
def _group() -> None:
    """Keep `sync` a command of a group, which others will join."""


@app.command()
def sync(as_json: Json = False) -> None:
    """Bring registry and facts to what this version ships; doing it twice changes nothing."""
    service = client()
    try:
        service.get("/healthz")
    except SourceUnavailableError:
        done = _directly()
    else:
        done = service.post("/v1/registry/sync")
    emit(done, as_json, lambda data: typer.echo(f"in sync since {data['synced_at']}"))


def _directly() -> dict[str, Any]:
    """Without a running service the database alone will do."""
    from tracker import bootstrap, config, log

    settings = config.load()
    log.configure(settings.log_level, json=settings.log_json)
    services = bootstrap.build(settings)
    try:
        services.sync(even_if_unchanged=True)
        return {"synced_at": services.clock().strftime("%Y-%m-%dT%H:%M:%SZ")}
    finally:
        services.database.dispose()
