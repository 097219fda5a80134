"""`tracker sources`: the state of each source."""

from __future__ import annotations

from typing import Any

import typer

from tracker.cli.output import Json, emit, first_clause, minute, table, text
from tracker.cli.service import client


def sources(as_json: Json = False) -> None:
    """Show the state of each source, with its next try."""
    emit(client().get("/v1/sources"), as_json, _table)


def _table(data: dict[str, Any]) -> None:
    table(
        ("source", "state", ">height", "last ok", "next try"),
        [
            (
                item["name"],
                item["state"],
                text(item["height"], ""),
                minute(item["last_ok"]),
                minute(item["next_try"]) if item["next_try"] else "",
            )
            for item in data["items"]
        ],
        empty="no source has reported yet",
        fold="source",
    )
    for item in data["items"]:
        if item["last_error"] and item["state"] != "ok":
            typer.echo(f"{item['name']}: {first_clause(item['last_error'])}")
