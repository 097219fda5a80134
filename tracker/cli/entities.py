"""`tracker entities`: who is followed and what can be seen of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tracker.cli.client import segment
from tracker.cli.groups import ListByDefault
from tracker.cli.output import Json, day, emit, facts, imported, money, number, table, text
from tracker.cli.service import client, upload_rows

app = typer.Typer(
    cls=ListByDefault, rich_markup_mode=None, help="Who is followed, and what can be seen of each."
)

Slug = Annotated[str, typer.Argument(help="The entity's slug, as `strategy`.")]


@app.command("list")
def list_entities(
    kind: Annotated[str | None, typer.Option(help="dat, etf, sovereign, exchange, …")] = None,
    role: Annotated[str | None, typer.Option(help="holder or venue")] = None,
    q: Annotated[str | None, typer.Option("--search", help="Part of a name or ticker.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those switched off, too.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    as_json: Json = False,
) -> None:
    """List entities, the best known first, then the most valuable."""
    wanted: dict[str, Any] = {"kind": kind, "role": role, "q": q}
    service = client()
    found = service.all_items("/v1/entities", limit=limit, **wanted)
    if everything:
        off = service.all_items("/v1/entities", limit=limit, enabled="false", **wanted)
        found["items"] = (found["items"] + off["items"])[:limit]
    emit(found, as_json, lambda data: _table(data["items"]))


@app.command()
def show(slug: Slug, as_json: Json = False) -> None:
    """Show one entity in full."""
    emit(client().get(f"/v1/entities/{segment(slug)}"), as_json, _show)


@app.command()
def add(
    slug: Slug,
    name: Annotated[str, typer.Option(help="Its name.")],
    kind: Annotated[str, typer.Option(help="dat, etf, sovereign, foundation, exchange, …")],
    treasury_class: Annotated[str | None, typer.Option(help="pure, miner or operating")] = None,
    country: Annotated[str | None, typer.Option(help="Two letters, as US.")] = None,
    ticker: Annotated[str | None, typer.Option()] = None,
    exchange_mic: Annotated[str | None, typer.Option("--mic", help="As XNAS.")] = None,
    currency: Annotated[str | None, typer.Option(help="Of its share, as USD.")] = None,
    cik: Annotated[str | None, typer.Option(help="EDGAR's number.")] = None,
    website: Annotated[str | None, typer.Option()] = None,
    source: Annotated[str | None, typer.Option(help="Where this is from.")] = None,
    note: Annotated[str | None, typer.Option()] = None,
    as_json: Json = False,
) -> None:
    """Add an entity; the kind decides whether it is a holder or a venue."""
    body = {
        "slug": slug, "name": name, "kind": kind, "treasury_class": treasury_class,
        "country": country, "ticker": ticker, "exchange_mic": exchange_mic,
        "currency": currency, "cik": cik, "website": website, "source": source, "note": note,
    }  # fmt: skip
    emit(client().post("/v1/entities", body), as_json, _show)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV or JSON; - for standard input.")],
    form: Annotated[str | None, typer.Option("--format", help="csv or json")] = None,
    dry_run: Annotated[bool, typer.Option(help="Check every row, write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Add the entities of a file; bad rows are told one by one, good ones land."""
    imported(upload_rows("/v1/entities/import", file, form, dry_run=dry_run), as_json)


@app.command()
def enable(slug: Slug, as_json: Json = False) -> None:
    """Follow an entity."""
    _switch(slug, enabled=True, as_json=as_json)


@app.command()
def disable(slug: Slug, as_json: Json = False) -> None:
    """Stop following an entity; nothing is lost."""
    _switch(slug, enabled=False, as_json=as_json)


def _switch(slug: str, *, enabled: bool, as_json: bool) -> None:
    found = client().patch(f"/v1/entities/{segment(slug)}", {"enabled": enabled})
    emit(found, as_json, _show)


def _table(items: list[dict[str, Any]]) -> None:
    table(
        ("entity", "kind", "seen", ">disclosed", ">on chain", ">mNAV"),
        [
            (
                item["slug"],
                item["kind"],
                "venue" if item["role"] == "venue" else item["observability"],
                _disclosed(item),
                _onchain(item),
                _mnav(item["mnav"]),
            )
            for item in items
        ],
        empty="no entity is called so",
        fold="entity",
    )


def _disclosed(item: dict[str, Any]) -> str:
    shown = [
        f"{number(holding['disclosed']['quantity'], 2)} {holding['asset']}"
        for holding in item["holdings"]
        if holding["disclosed"]["quantity"] is not None
    ]
    return "\n".join(shown) or "unknown"


def _onchain(item: dict[str, Any]) -> str:
    shown = [
        f"{number(holding['onchain']['quantity'], 2)} {holding['asset']}"
        for holding in item["holdings"]
        if holding["onchain"]["quantity"] is not None
    ]
    return "\n".join(shown) or "unknown"


def _mnav(found: dict[str, Any] | None) -> str:
    return "unknown" if found is None else f"{number(found['value'], 2)} {found['id']}"


def _show(item: dict[str, Any]) -> None:
    mnav = item["mnav"]
    facts(
        [
            ("entity", f"{item['name']} ({item['slug']})"),
            ("kind", f"{item['kind']}, {item['role']}"),
            ("class", text(item["treasury_class"], "")),
            ("country", text(item["country"], "")),
            ("ticker", text(item["ticker"], "")),
            ("followed", "yes" if item["enabled"] else "no"),
            ("seen", item["observability"]),
            ("", item["completeness"]["says"]),
            ("disclosed", _disclosed(item).replace("\n", ", ")),
            ("on chain", _onchain(item).replace("\n", ", ")),
            ("value", money(item["value_usd"])),
            (
                "mNAV",
                _mnav(mnav)
                + (f" as of {day(mnav['as_of'])}" if mnav else f": {item['mnav_reason']}"),
            ),
            ("last alert", item["last_alert"]["id"] if item["last_alert"] else "none"),
            ("source", text(item["source"], "")),
        ]
    )
