"""`tracker changes`: what changed the shown holdings of an entity, by cause."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tracker.cli.client import segment
from tracker.cli.output import Json, emit, number, paragraph, table
from tracker.cli.service import client


def changes(
    entity: Annotated[str, typer.Argument(help="The entity's slug.")],
    asset: Annotated[str | None, typer.Option(help="Of this asset only.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="First day; a year ago.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last day; today.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """Show what changed the holdings: coins moved, labels came or went, rates."""
    asked = {"asset": asset, "from": start, "to": end, "limit": limit}
    emit(client().get(f"/v1/entities/{segment(entity)}/changes", **asked), as_json, _show)


def _show(data: dict[str, Any]) -> None:
    typer.echo(f"{data['entity']} from {data['first']} to {data['last']}")
    table(
        ("day", "cause", ">quantity", "asset", "where"),
        [
            (
                item["date"],
                item["cause"],
                number(item["quantity"], 8),
                item["asset"],
                _where(item["wallets"], item["wallet_count"]),
            )
            for item in data["items"]
        ],
        empty="nothing changed",
        fold="where",
    )
    if data["next"]:
        typer.echo("there are more: name shorter days, or a higher --limit")
    for total in data["totals"]:
        if total["reason"]:
            paragraph(f"{total['asset']}: {total['reason']}")


def _where(wallets: list[str], count: int) -> str:
    more = count - len(wallets)
    return ", ".join(wallets) + (f" and {more} more" if more > 0 else "")
