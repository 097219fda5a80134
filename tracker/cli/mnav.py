"""`tracker mnav`: every definition that has its inputs, now or over time."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tracker.cli.client import segment
from tracker.cli.output import Json, day, emit, minute, number, table
from tracker.cli.service import client


def mnav(
    entity: Annotated[
        str | None, typer.Argument(help="Of this entity; without it, the headline of all.")
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="One row a trading day.")] = False,
    at: Annotated[str | None, typer.Option(help="A UTC time, or a date.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="First day of the history.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last day of the history.")] = None,
    as_json: Json = False,
) -> None:
    """Show every mNAV definition with its inputs, side by side."""
    if not history and (start or end):
        raise typer.BadParameter("belongs to --history", param_hint="--from/--to")
    if entity is None:
        if history or at:
            raise typer.BadParameter("name an ENTITY too", param_hint="ENTITY")
        found = client().all_items("/v1/entities", kind="dat")
        emit(found, as_json, _headlines)
        return
    path = f"/v1/entities/{segment(entity)}/mnav"
    if history:
        if at:
            raise typer.BadParameter("does not go with --history", param_hint="--at")
        period: dict[str, Any] = {"from": start, "to": end}
        rows = client().all_items(f"{path}/history", **period)
        emit(rows, as_json, _history)
    else:
        emit(client().get(path, at=at), as_json, _one)


def _headlines(data: dict[str, Any]) -> None:
    table(
        ("entity", ">mNAV", "definition", "as of"),
        [
            (item["slug"], number(item["mnav"]["value"], 3), item["mnav"]["id"],
             day(item["mnav"]["as_of"]))
            for item in data["items"]
            if item["mnav"] is not None
        ],
        empty="no entity has all inputs of a definition",
    )  # fmt: skip


def _one(data: dict[str, Any]) -> None:
    state = data["quote_state"] or "unknown"
    typer.echo(f"{data['entity']} as of {minute(data['as_of'])}, share quote {state}")
    table(
        ("definition", ">value", "unit", "lacks"),
        [
            (found["id"], number(found["value"], 4), found["unit"], "; ".join(found["missing"]))
            for found in data["definitions"]
        ],
        empty="no definition",
    )
    inputs = {each["name"]: each for found in data["definitions"] for each in found["inputs"]}
    table(
        ("input", ">value", "unit", "as of", "source"),
        [
            (each["name"], number(each["value"]), each["unit"], day(each["as_of"]), each["source"])
            for each in inputs.values()
        ],
        empty="",
    )


def _history(data: dict[str, Any]) -> None:
    items = data["items"]
    names = ("basic", "ev", "net")
    table(
        ("day", *(f">{name}" for name in names), "quote"),
        [
            (
                day(row["as_of"]),
                *(
                    number(
                        next((d["value"] for d in row["definitions"] if d["id"] == name), None), 3
                    )
                    for name in names
                ),
                row["quote_state"] or "unknown",
            )
            for row in items
        ],
        empty="no price of the share is known",
    )
