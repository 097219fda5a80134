"""`tracker events`: the feed behind the webhooks."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tracker.cli.output import Json, emit, minute, table
from tracker.cli.service import client


def events(
    after: Annotated[int, typer.Option(min=0, help="Those behind this cursor.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """Show published events, oldest first."""
    emit(client().get("/v1/events", after=after, limit=limit), as_json, _table)


def _table(data: dict[str, Any]) -> None:
    table(
        (">cursor", "time", "type", "severity", "entity", "event"),
        [
            (
                str(item["cursor"]),
                minute(item["timestamp"]),
                item["type"],
                str(item["data"].get("severity", "")),
                str((item["data"].get("entity") or {}).get("slug", "")),
                item["id"],
            )
            for item in data["items"]
        ],
        empty="no event",
    )
