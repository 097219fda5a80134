"""`tracker up`: the whole service in one command."""

from __future__ import annotations

from typing import Annotated

import typer

from tracker import config, log
from tracker.embedded import supervisor


def up(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line instead of the live status.")
    ] = False,
) -> None:
    """Start the whole service here: database, broker, workers, API and page. Ctrl-C stops it."""
    settings = config.load()
    log.configure(settings.log_level, json=settings.log_json)
    raise typer.Exit(supervisor.run(settings, as_json=as_json))
