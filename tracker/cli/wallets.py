"""`tracker wallets`: the addresses of entities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tracker.cli.client import segment
from tracker.cli.groups import ListByDefault
from tracker.cli.output import Json, emit, imported, table
from tracker.cli.service import client, upload_rows

app = typer.Typer(
    cls=ListByDefault,
    rich_markup_mode=None,
    help="The addresses of entities, and how each is known.",
)

Chain = Annotated[str, typer.Argument(help="bitcoin or ethereum")]
Address = Annotated[str, typer.Argument()]


@app.command("list")
def list_wallets(
    entity: Annotated[str | None, typer.Argument(help="Of this entity only.")] = None,
    as_json: Json = False,
) -> None:
    """List watched addresses."""
    path = "/v1/wallets" if entity is None else f"/v1/entities/{segment(entity)}/wallets"
    emit(client().all_items(path), as_json, lambda data: _table(data["items"]))


@app.command()
def add(
    entity: Annotated[str, typer.Argument(help="Whose it is.")],
    chain: Chain,
    address: Address,
    role: Annotated[str, typer.Option(help="treasury, cold, hot, mining, …")] = "treasury",
    tier: Annotated[
        str, typer.Option(help="How it is known: proved, attested, filing, operator_verified, …")
    ] = "user",
    source: Annotated[str | None, typer.Option(help="Where it is from.")] = None,
    note: Annotated[str | None, typer.Option()] = None,
    as_json: Json = False,
) -> None:
    """Watch an address from the next block on."""
    body = {
        "chain": chain, "address": address, "role": role, "tier": tier, "source": source,
        "note": note,
    }  # fmt: skip
    made = client().post(f"/v1/entities/{segment(entity)}/wallets", body)
    emit(made, as_json, lambda item: _table([item]))


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV or JSON; - for standard input.")],
    form: Annotated[str | None, typer.Option("--format", help="csv or json")] = None,
    dry_run: Annotated[bool, typer.Option(help="Check every row, write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Add the wallets of a file; bad rows are told one by one, good ones land."""
    imported(upload_rows("/v1/wallets/import", file, form, dry_run=dry_run), as_json)


@app.command()
def remove(chain: Chain, address: Address, as_json: Json = False) -> None:
    """Stop watching an address; alerts that rested on it are judged anew."""
    gone = client().delete(f"/v1/wallets/{segment(chain)}/{segment(address)}")
    emit(
        gone,
        as_json,
        lambda data: typer.echo(
            f"{data['address']} is no longer watched; {data['alerts_changed']} alerts changed"
        ),
    )


def _table(items: list[dict[str, Any]]) -> None:
    table(
        ("entity", "chain", "address", "role", "tier"),
        [
            (item["entity"], item["chain"], item["address"], item["role"], item["tier"])
            for item in items
        ],
        empty="no wallet is known",
    )
