"""`tracker keys`: bearer keys of the API."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tracker.cli.groups import ListByDefault
from tracker.cli.output import Json, emit, minute, table
from tracker.cli.service import client

app = typer.Typer(cls=ListByDefault, rich_markup_mode=None, help="Bearer keys of the API.")


@app.command("list")
def list_keys(as_json: Json = False) -> None:
    """List keys, without their secrets."""
    emit(client().get("/v1/keys"), as_json, lambda data: _table(data["items"]))


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scopes: Annotated[
        list[str] | None, typer.Option("--scope", help="read or write; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key; it is shown this once. Without --scope it may read."""
    made = client().post("/v1/keys", {"name": name, "scopes": scopes or ["read"]})
    emit(made, as_json, lambda data: typer.echo(f"{data['key']}  (shown this once)"))


@app.command()
def revoke(
    key: Annotated[int, typer.Argument(metavar="ID", help="Its number in the list.")],
    as_json: Json = False,
) -> None:
    """End a key at once."""
    emit(client().delete(f"/v1/keys/{key}"), as_json, lambda item: _table([item]))


def _table(items: list[dict[str, Any]]) -> None:
    table(
        (">id", "name", "begins", "scopes", "made", "revoked"),
        [
            (
                str(item["id"]),
                item["name"],
                item["prefix"] + "…",
                ", ".join(item["scopes"]),
                minute(item["created_at"]),
                minute(item["revoked_at"]) if item["revoked_at"] else "",
            )
            for item in items
        ],
        empty="no key",
    )
