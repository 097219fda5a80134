"""`tracker holdings`, `transfers` and `disclosures` of an entity."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from tracker.cli.client import segment
from tracker.cli.output import Json, day, emit, imported, minute, money, number, paragraph, table
from tracker.cli.service import client, upload_rows

Entity = Annotated[str, typer.Argument(help="The entity's slug.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]


def holdings(
    entity: Annotated[
        str | None, typer.Argument(help="Of this entity; without it, of all.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="A UTC time, a date, or a block: ethereum:18000000.")
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="Day by day, one asset.")] = False,
    asset: Annotated[str | None, typer.Option(help="With --history: BTC, ETH, WETH, …")] = None,
    start: Annotated[str | None, typer.Option("--from", help="With --history: first day.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="With --history: last day.")] = None,
    wallets: Annotated[bool, typer.Option("--wallets", help="What each wallet holds.")] = False,
    as_json: Json = False,
) -> None:
    """Show what an entity holds: disclosed and on chain side by side."""
    if not history and (asset or start or end):
        raise typer.BadParameter("goes with --history", param_hint="--asset, --from, --to")
    if (at is not None) + history + wallets > 1:
        raise typer.BadParameter("use one of them", param_hint="--at, --history, --wallets")
    if entity is None:
        if at is not None or history or wallets:
            raise typer.BadParameter("name an ENTITY too", param_hint="ENTITY")
        emit(client().all_items("/v1/entities", role="holder"), as_json, _all)
        return
    path = f"/v1/entities/{segment(entity)}"
    if wallets:
        found = client().all_items(f"{path}/wallets")
        emit(found, as_json, lambda data: wallet_balances(data["items"]))
    elif history:
        asked = {"asset": asset, "from": start, "to": end}
        emit(client().get(f"{path}/holdings/history", **asked), as_json, _history)
    else:
        emit(client().get(f"{path}/holdings", at=at), as_json, _one)


def wallet_balances(items: list[dict[str, Any]]) -> None:
    """Print what each wallet holds, how far it is known, and whether the chain agreed last."""
    rows = []
    for item in items:
        known, probe = item["opening"], item["last_probe"]
        since = f"block {known['height']}" if known else item["state"].replace("_", " ")
        last = "" if probe is None else f"{'agreed' if probe['agreed'] else 'differed'} at "
        held = [each for each in item["balances"] or () if each["quantity"] != "0"]
        shown = "\n".join(f"{number(each['quantity'], 8)} {each['asset']}" for each in held)
        if not shown:
            shown = "unknown" if item["balances"] is None else "0"
        last += "" if probe is None else str(probe["height"])
        rows.append((item["address"], shown, since, last))
    table(
        ("address", ">holds", "known from", "probed"), rows,
        empty="no wallet is known", fold="address",
    )  # fmt: skip
    for item in items:
        if item["opening_note"]:
            paragraph(f"{item['address']}: {item['opening_note']}")


def transfers(entity: Entity, limit: Limit = 50, as_json: Json = False) -> None:
    """Show the transfers of an entity, newest first, and what each is believed to be."""
    found = client().all_items(f"/v1/entities/{segment(entity)}/transfers", limit=limit)
    emit(found, as_json, lambda data: _transfers(data["items"]))


def disclosures(
    entity: Entity,
    known_at: Annotated[str | None, typer.Option(help="As it was believed then.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--import", help="Add those of a CSV or JSON file; - for standard input."),
    ] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Show what an entity reported, newest first; with --import, add what you read elsewhere."""
    path = f"/v1/entities/{segment(entity)}/disclosures"
    if file is not None:
        imported(upload_rows(f"{path}/import", file, None), as_json)
        return
    found = client().all_items(path, limit=limit, known_at=known_at)
    emit(found, as_json, lambda data: _disclosures(data["items"]))


_COLUMNS = ("asset", ">disclosed", "as of", ">on chain", ">coverage", ">value")


def _cells(holding: dict[str, Any]) -> tuple[str, ...]:
    disclosed, onchain = holding["disclosed"], holding["onchain"]
    return (
        holding["asset"],
        number(disclosed["quantity"]),
        day(disclosed["as_of"]),
        number(onchain["quantity"]),
        "unknown" if holding["coverage"] is None else f"{Decimal(holding['coverage']):.1%}",
        money(holding["value_usd"]),
    )


def _all(data: dict[str, Any]) -> None:
    table(
        ("entity", *_COLUMNS),
        [
            (item["slug"], *_cells(holding))
            for item in data["items"]
            for holding in item["holdings"]
        ],
        empty="no holdings are known",
    )


def _one(data: dict[str, Any]) -> None:
    typer.echo(f"{data['entity']} as of {minute(data['as_of'])}, {data['observability']}")
    paragraph(data["completeness"]["says"])
    table(_COLUMNS, [_cells(each) for each in data["assets"]], empty=str(data["reason"]))
    notes = [
        (f"{holding['asset']} {name}", note)
        for holding in data["assets"]
        for name, note in _notes(holding)
        if name != "nowcast" or holding["disclosed"]["quantity"] is not None
    ]
    if notes:
        table(("of", "source, or why it is not known"), notes, empty="no note")
    for chain in data["chains"]:
        paragraph(head(chain))


def head(chain: dict[str, Any]) -> str:
    """Where the scan of a chain stands, in a line."""
    height = "no block" if chain["height"] is None else f"block {chain['height']}"
    final = "" if chain["final_height"] is None else f", final up to {chain['final_height']}"
    return f"{chain['chain']}: {height}{final}, {chain['reason'] or chain['state']}"


def _history(data: dict[str, Any]) -> None:
    known = [item for item in data["items"] if item["quantity"] is not None]
    table(
        ("day", f">{data['asset']}", "buckets"),
        [
            (item["date"], number(item["quantity"], 8), _buckets(item["by_bucket"]))
            for item in known
        ],
        empty="nothing is known of these days",
    )
    if data["known_from"] is not None:
        typer.echo(f"known from {minute(data['known_from'])}")
    if data["reason"]:
        paragraph(data["reason"])


def _buckets(found: dict[str, str]) -> str:
    """What is not simply liquid, by bucket."""
    if set(found) == {"liquid"}:
        return ""
    return ", ".join(f"{name} {number(quantity, 8)}" for name, quantity in found.items())


def _notes(holding: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The source of each number of an asset, and the reason of each that is not known."""
    if holding["disclosed"]["source"]:
        yield "disclosed", holding["disclosed"]["source"]
    block = holding["onchain"]["as_of_block"]
    if block:
        yield "on chain", f"{block['chain']} block {block['height']} ({block['finality']})"
    if _buckets(holding["onchain"]["by_bucket"] or {"liquid": ""}):
        yield "buckets", _buckets(holding["onchain"]["by_bucket"])
    partial = holding["onchain"]["partial"]
    if partial:
        known = f"{partial['wallets']} of {partial['of']} wallets"
        yield "on chain", f"{number(partial['quantity'], 8)} in the {known} that are known"
    for key, name in (("onchain", "on chain"), ("disclosed", "disclosed"), ("nowcast", "nowcast")):
        if holding[key].get("reason"):
            yield name, holding[key]["reason"]
    if holding["coverage_reason"]:
        yield "coverage", holding["coverage_reason"]
    if holding["value_usd"] is not None:
        price = f"${number(holding['price_usd'], 2)} of {minute(holding['price_as_of'])}"
        yield "value", f"{holding['value_basis']} at {price}, {holding['price_source']}"
    elif holding["value_reason"]:
        yield "value", holding["value_reason"]
    if holding["price_reason"] not in (None, holding["value_reason"]):
        yield "price", holding["price_reason"]


def _transfers(items: list[dict[str, Any]]) -> None:
    table(
        ("time", ">net", "asset", "believed to be", "other side", "finality"),
        [
            (
                minute(item["time"]),
                number(item["quantity"], 8),
                item["asset"],
                f"{item['intent']} {item['probability']}",
                ", ".join(
                    party["name"] or party["address"] or "unknown"
                    for party in item["counterparties"][:2]
                ),
                item["finality"],
            )
            for item in items
        ],
        empty="no transfer has been seen",
    )


def _disclosures(items: list[dict[str, Any]]) -> None:
    table(
        ("as of", "what", ">quantity", "asset", "evidence", "source"),
        [
            (
                item["as_of"],
                item["kind"],
                number(item["quantity"]),
                item["asset"],
                item["evidence"],
                item["source"],
            )
            for item in items
        ],
        empty="nothing is known",
    )
