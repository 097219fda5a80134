"""`tracker alerts`: who started to sell, now and as it happens."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from tracker.cli.client import segment
from tracker.cli.groups import ListByDefault
from tracker.cli.output import Json, day, emit, emit_line, facts, minute, money, number, table, text
from tracker.cli.service import client
from tracker.errors import SourceUnavailableError

app = typer.Typer(cls=ListByDefault, rich_markup_mode=None, help="Who started to sell.")

AlertId = Annotated[str, typer.Argument(metavar="ALERT", help="Its id: al_…")]
_AGAIN_SECONDS = 3.0


@app.command("list")
def list_alerts(
    follow: Annotated[bool, typer.Option("--follow", help="Wait for new ones.")] = False,
    entity: Annotated[str | None, typer.Option(help="Of this entity only.")] = None,
    min_severity: Annotated[str | None, typer.Option(help="info, warning or critical")] = None,
    status: Annotated[str | None, typer.Option(help="open, suspended, closed, retracted")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List alerts, newest first; with --follow wait for new ones, one a line."""
    if follow:
        _follow(entity, as_json)
        return
    found = client().all_items(
        "/v1/alerts", limit=limit, entity=entity, min_severity=min_severity, status=status
    )
    emit(found, as_json, lambda data: _table(data["items"]))


@app.command()
def show(alert: AlertId, as_json: Json = False) -> None:
    """Show one alert with its evidence, ground and revisions."""
    emit(client().get(f"/v1/alerts/{segment(alert)}"), as_json, _show)


@app.command()
def acknowledge(alert: AlertId, as_json: Json = False) -> None:
    """Note that it was seen."""
    emit(client().post(f"/v1/alerts/{segment(alert)}/acknowledge"), as_json, _show)


@app.command()
def mute(
    alert: AlertId,
    until: Annotated[
        str | None, typer.Option(help="As 2026-12-01T00:00:00Z; without it the quiet ends.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Keep its further revisions from being delivered until a time."""
    emit(client().post(f"/v1/alerts/{segment(alert)}/mute", {"until": until}), as_json, _show)


def _follow(entity: str | None, as_json: bool) -> None:
    """Print alerts as they come, over restarts of the service, until Ctrl-C."""
    service = client()
    if entity is not None:
        service.get(f"/v1/entities/{segment(entity)}")  # a misspelt name would wait for ever
    newest: int | None = None
    connected = False
    while True:
        try:
            for event in service.events(after=newest):
                connected, newest = True, int(event["cursor"])
                data = event["data"]
                if entity is None or data.get("entity", {}).get("slug") == entity:
                    emit_line(event, as_json, _sentence)
        except SourceUnavailableError:
            if newest is None and not connected:
                raise
        connected = True
        time.sleep(_AGAIN_SECONDS)


def _sentence(event: dict[str, Any]) -> str:
    data = event["data"]
    who = data.get("entity", {}).get("name", "")
    size = f"{number(data.get('quantity'))} {data.get('asset')}"
    return (
        f"{minute(event['timestamp'])}  {event['type']}  {data.get('severity')}  {who}  {size}  "
        f"{data.get('intent')} {data.get('probability')}  {data.get('alert_id')}"
    )


def _table(items: list[dict[str, Any]]) -> None:
    table(
        ("opened", "severity", "entity", ">quantity", ">alert"),
        [
            (
                day(item["opened_at"]),
                item["severity"] + ("\nretracted" if item["retracted"] else ""),
                item["entity"]["slug"],
                f"{number(item.get('quantity'), 2)} {item['asset']}",
                item["id"],
            )
            for item in items
        ],
        empty="no alert",
    )


def _show(item: dict[str, Any]) -> None:
    facts(
        [
            ("alert", item["id"]),
            ("entity", f"{item['entity']['name']} ({item['entity']['slug']})"),
            ("what", f"{item['rule']}, {number(item.get('quantity'))} {item['asset']}"),
            ("value", money(item["value_usd"])),
            ("severity", item["severity"]),
            ("state", f"{item['state']}, {item.get('status')}, {item.get('finality')}"),
            ("believed to be", f"{item['intent']} {item['probability']}"),
            ("opened", minute(item["opened_at"])),
            ("closed", minute(item["closed_at"]) if item["closed_at"] else "no"),
            ("history", "yes, not delivered" if item["historical"] else ""),
            ("acknowledged", "yes" if item["acknowledged"] else "no"),
            ("muted until", text(item["muted_until"], "")),
        ]
    )
    for piece in item["evidence"]:
        typer.echo(f"evidence   {piece['rule']} ({piece['weight']:+.1f}): {piece['says']}")
    for ground in item["ground"]:
        typer.echo(
            f"ground     {ground.get('document') or ground.get('explorer_url') or ground.get('tx')}"
        )
    for revision in item["revisions"]:
        typer.echo(f"revision {revision['revision']}  {minute(revision['at'])}  {revision['why']}")
