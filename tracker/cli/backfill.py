"""`tracker backfill`: read the history of wallets, and watch it being read."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from tracker.cli.client import ApiClient
from tracker.cli.groups import ListByDefault
from tracker.cli.output import Json, emit, paragraph, table, text
from tracker.cli.service import client
from tracker.errors import NotFoundError

app = typer.Typer(
    cls=ListByDefault, rich_markup_mode=None, help="Read the history of wallets."
)

JobId = Annotated[int, typer.Argument(metavar="ID", help="Its number.")]
Follow = Annotated[
    bool,
    typer.Option("--follow", help="Show how far it is until it ends; Ctrl-C leaves it running."),
]
LOOK_SECONDS = 1.0
_ENDED = ("done", "failed", "cancelled")


@app.command("list")
def list_jobs(as_json: Json = False) -> None:
    """List what is read and was read, the newest first."""
    emit(client().get("/v1/backfill"), as_json, lambda data: _table(data["items"]))


@app.command()
def start(
    since: Annotated[
        str, typer.Option("--from", help="The first block: its height, or a date as 2024-01-31.")
    ],
    entity: Annotated[str | None, typer.Argument(help="Of this entity only.")] = None,
    chain: Annotated[str, typer.Option(help="bitcoin or ethereum")] = "bitcoin",
    addresses: Annotated[
        list[str] | None, typer.Option("--address", help="Of this wallet; may be repeated.")
    ] = None,
    follow: Follow = False,
    as_json: Json = False,
) -> None:
    """Have the service read old blocks for wallets, up to where each was opened."""
    service = client()
    made = service.post(
        "/v1/backfill",
        {"chain": chain, "entity": entity, "addresses": addresses or [], "from": since},
    )
    shown = _follow(service, made["id"]) if follow else made
    emit(shown, as_json, lambda item: _table([item]))
    if not as_json:
        _left_out(made["left_out"])
    if shown["state"] == "failed":
        raise typer.Exit(1)


@app.command()
def follow(job: JobId, as_json: Json = False) -> None:
    """Show how far one is until it ends; Ctrl-C leaves it running."""
    emit(_follow(client(), job), as_json, lambda item: _table([item]))


@app.command()
def cancel(job: JobId, as_json: Json = False) -> None:
    """End one where it stands; what was dated stays."""
    emit(client().delete(f"/v1/backfill/{job}"), as_json, lambda item: _table([item]))


def _follow(service: ApiClient, job: int) -> Any:
    """The job once it ended, or as it is when the user has seen enough."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("block {task.fields[block]}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[pace]}"),
    )
    item = _look(service, job)
    # On the error stream: the last state alone is the command's output.
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=100, **_fields(item))
        try:
            while True:
                item = _look(service, job)
                bar.update(task, completed=float(item["percent"]), **_fields(item))
                if item["state"] in _ENDED:
                    return item
                time.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            return item


def _look(service: ApiClient, job: int) -> Any:
    for item in service.get("/v1/backfill")["items"]:
        if item["id"] == job:
            return item
    raise NotFoundError(
        "no such backfill", field="ID", value=job, mend="list them: `tracker backfill list`"
    )


def _fields(item: dict[str, Any]) -> dict[str, Any]:
    return {"block": str(item["next_height"]), "pace": _pace(item)}


def _pace(item: dict[str, Any]) -> str:
    if item["waits"]:
        return str(item["waits"])
    if item["blocks_per_second"] is None:
        return str(item["state"])
    left = item["eta_seconds"]
    more = "" if left is None else f", {left // 60} min {left % 60} s left"
    return f"{item['blocks_per_second']} blocks/s{more}"


def _left_out(rows: list[dict[str, Any]]) -> None:
    for row in rows[:10]:
        paragraph(f"left out: {row['address']}: {row['reason']}")
    if len(rows) > 10:
        paragraph(f"and {len(rows) - 10} more")


def _table(items: list[dict[str, Any]]) -> None:
    table(
        (">id", "of", ">from", ">to", ">next", ">%", "state", "pace"),
        [
            (
                str(item["id"]),
                text(item["entities"], item["chain"]) or item["chain"],
                str(item["from_height"]),
                str(item["to_height"]),
                str(item["next_height"]),
                item["percent"],
                item["state"] + (f": {item['error']}" if item["error"] else ""),
                _pace(item) if item["state"] not in _ENDED else "",
            )
            for item in items
        ],
        empty="no backfill; start one with `tracker backfill start --from HEIGHT`",
    )
