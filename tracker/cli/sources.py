"""`tracker sources`: the state of each source."""

from __future__ import annotations

from typing import Any

from tracker.cli.output import Json, emit, minute, table, text
from tracker.cli.service import client


def sources(as_json: Json = False) -> None:
    """Show the state of each source, with its next try."""
    emit(client().get("/v1/sources"), as_json, _table)


def _table(data: dict[str, Any]) -> None:
    table(
        ("source", "kind", "state", ">height", "last ok", "next try", "error"),
        [
            (
                item["name"],
                item["kind"],
                item["state"],
                text(item["height"], ""),
                minute(item["last_ok"]),
                minute(item["next_try"]) if item["next_try"] else "",
                text(item["last_error"], ""),
            )
            for item in data["items"]
        ],
        empty="no source has reported yet",
    )
