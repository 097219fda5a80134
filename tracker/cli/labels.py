"""`tracker labels`: packs of labels, imported, exported and removed as one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tracker.cli.client import segment
from tracker.cli.groups import ListByDefault
from tracker.cli.output import Json, emit, imported, table, text
from tracker.cli.service import client, read_file
from tracker.errors import InputError

app = typer.Typer(cls=ListByDefault, rich_markup_mode=None, help="Packs of labels.")

Pack = Annotated[str, typer.Argument(help="The pack's name.")]


@app.command("list")
def list_packs(as_json: Json = False) -> None:
    """List packs with their licences and sizes."""
    emit(client().get("/v1/labels"), as_json, _table)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV or TagPack YAML; - for standard input.")],
    form: Annotated[str | None, typer.Option("--format", help="csv or tagpack")] = None,
    name: Annotated[str | None, typer.Option(help="Wins over the file's own.")] = None,
    licence: Annotated[str | None, typer.Option(help="Wins over the file's own.")] = None,
    redistributable: Annotated[
        bool | None, typer.Option(help="Whether it may be handed on.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Check every row, write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Import a pack; one of the same name is replaced by it."""
    chosen = form or ("tagpack" if file.suffix.lower() in (".yaml", ".yml") else "csv")
    report = client().upload(
        "/v1/labels/import",
        read_file(file),
        "application/yaml" if chosen == "tagpack" else "text/csv",
        format=chosen,
        name=name,
        licence=licence,
        redistributable=None if redistributable is None else str(redistributable).lower(),
        dry_run=str(dry_run).lower(),
    )
    imported(report, as_json)


@app.command()
def export(
    pack: Pack,
    to: Annotated[Path | None, typer.Option("--to", help="A file; else standard output.")] = None,
    even_if_restricted: Annotated[
        bool, typer.Option(help="For your own use, whatever the licence says.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the rows of a pack as CSV."""
    content = client().download(
        f"/v1/labels/{segment(pack)}/export",
        even_if_restricted=str(even_if_restricted).lower(),
    )
    if to is None:
        if as_json:
            emit({"pack": pack, "csv": content.decode()}, as_json, lambda _: None)
        else:
            sys.stdout.buffer.write(content)
        return
    try:
        to.write_bytes(content)
    except OSError as error:
        raise InputError(
            f"the file cannot be written: {error.strerror}",
            field="--to",
            value=to,
            mend="name a place where you may write",
        ) from error
    emit(
        {"pack": pack, "file": str(to), "bytes": len(content)},
        as_json,
        lambda data: typer.echo(f"{data['bytes']} bytes written"),
    )


@app.command()
def remove(pack: Pack, as_json: Json = False) -> None:
    """Remove a pack; alerts that rested on it are judged anew."""
    gone = client().delete(f"/v1/labels/{segment(pack)}")
    emit(
        gone,
        as_json,
        lambda data: typer.echo(
            f"{data['labels']} labels and {data['wallets']} wallets removed; "
            f"{data['alerts_changed']} alerts changed"
        ),
    )


def _table(data: dict[str, Any]) -> None:
    table(
        ("pack", "title", ">labels", ">wallets", "licence", "may be handed on"),
        [
            (
                item["name"],
                item["title"],
                text(item["labels"]),
                text(item["wallets"]),
                text(item["licence"]),
                "yes" if item["redistributable"] else "no",
            )
            for item in data["items"]
        ],
        empty="no pack",
    )
