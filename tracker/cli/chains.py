"""`tracker chains`: where the scan of each chain stands, and letting a halted one go on."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tracker.cli.client import segment
from tracker.cli.groups import ListByDefault
from tracker.cli.output import Json, emit, paragraph, table, text
from tracker.cli.service import client

app = typer.Typer(
    cls=ListByDefault, rich_markup_mode=None, help="Where the scan of each chain stands."
)


@app.command("list")
def list_chains(as_json: Json = False) -> None:
    """List the chains with their newest block, lag and state."""
    emit(client().get("/v1/chains"), as_json, lambda data: _table(data["items"]))


@app.command()
def resume(
    chain: Annotated[str, typer.Argument(help="bitcoin or ethereum")], as_json: Json = False
) -> None:
    """Let a halted chain go on, once you have checked its sources."""
    done = client().post(f"/v1/chains/{segment(chain)}/resume")
    emit(done, as_json, lambda item: typer.echo(f"{item['chain']} goes on: {item['state']}"))


def _table(items: list[dict[str, Any]]) -> None:
    table(
        ("chain", ">block", ">final", ">lag", "state"),
        [
            (
                item["chain"],
                text(item["height"], "none"),
                text(item["final_height"], "none"),
                "" if item["lag_seconds"] is None else f"{item['lag_seconds']} s",
                item["state"],
            )
            for item in items
        ],
        empty="no chain is known",
    )
    for item in items:
        if item["reason"]:
            paragraph(f"{item['chain']}: {item['reason']}")
