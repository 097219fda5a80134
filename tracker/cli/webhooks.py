"""`tracker webhooks`: receivers of signed events."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tracker.cli.client import segment
from tracker.cli.groups import ListByDefault
from tracker.cli.output import Json, emit, minute, table, text
from tracker.cli.service import client

app = typer.Typer(cls=ListByDefault, rich_markup_mode=None, help="Receivers of signed events.")

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Its id: ep_…")]


@app.command("list")
def list_endpoints(as_json: Json = False) -> None:
    """List endpoints and whether they take deliveries."""
    emit(client().get("/v1/webhooks"), as_json, lambda data: _table(data["items"]))


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="https://…")],
    types: Annotated[
        list[str] | None, typer.Option("--type", help="As 'sell_off.*'; may be repeated.")
    ] = None,
    entities: Annotated[list[str] | None, typer.Option("--entity", help="A slug.")] = None,
    cohorts: Annotated[list[str] | None, typer.Option("--cohort", help="As all_dats.")] = None,
    assets: Annotated[list[str] | None, typer.Option("--asset", help="BTC or ETH.")] = None,
    min_severity: Annotated[str, typer.Option(help="info, warning or critical")] = "info",
    min_tier: Annotated[str | None, typer.Option(help="The weakest label that counts.")] = None,
    allow_hosts: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="A host that may be private, as 127.0.0.1:9000."),
    ] = None,
    description: Annotated[str, typer.Option()] = "",
    as_json: Json = False,
) -> None:
    """Subscribe a receiver; its signing secret is shown this once."""
    body = {
        "url": url, "types": types or [], "entities": entities or [], "cohorts": cohorts or [],
        "assets": assets or [], "min_severity": min_severity, "min_tier": min_tier,
        "allow_hosts": allow_hosts or [], "description": description,
    }  # fmt: skip
    emit(client().post("/v1/webhooks", body), as_json, _secret)


@app.command("test")
def send_test(
    endpoint: EndpointId,
    kind: Annotated[str, typer.Option("--type", help="As sell_off.retracted.")] = "test.ping",
    as_json: Json = False,
) -> None:
    """Send a realistic sample of an event type to one endpoint."""
    reply = client().post(f"/v1/webhooks/{segment(endpoint)}/test", {"type": kind})
    emit(reply, as_json, _queued)


@app.command()
def deliveries(
    endpoint: EndpointId,
    state: Annotated[
        str | None, typer.Option(help="pending, succeeded, exhausted (dead letters), skipped")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """Show what an endpoint was sent, newest first."""
    path = f"/v1/webhooks/{segment(endpoint)}/deliveries"
    emit(client().all_items(path, limit=limit, state=state), as_json, _deliveries)


@app.command()
def replay(
    endpoint: EndpointId,
    event: Annotated[str | None, typer.Option(help="One event: evt_…")] = None,
    delivery: Annotated[int | None, typer.Option(help="What this delivery was to bring.")] = None,
    since: Annotated[str | None, typer.Option(help="All published from this UTC time on,")] = None,
    until: Annotated[str | None, typer.Option(help="up to this one.")] = None,
    as_json: Json = False,
) -> None:
    """Deliver again one event, one delivery, or a time range."""
    body = {"event_id": event, "delivery_id": delivery, "since": since, "until": until}
    reply = client().post(f"/v1/webhooks/{segment(endpoint)}/replay", body)
    emit(reply, as_json, _queued)


@app.command()
def rotate(endpoint: EndpointId, as_json: Json = False) -> None:
    """Make a new signing secret; the old one stays valid for 24 hours."""
    emit(client().post(f"/v1/webhooks/{segment(endpoint)}/rotate"), as_json, _secret)


@app.command()
def enable(endpoint: EndpointId, as_json: Json = False) -> None:
    """Take deliveries again after it was disabled by failing."""
    reply = client().patch(f"/v1/webhooks/{segment(endpoint)}", {"enabled": True})
    emit(reply, as_json, lambda item: _table([item]))


@app.command()
def remove(endpoint: EndpointId, as_json: Json = False) -> None:
    """Remove an endpoint; what it is still owed is skipped."""
    client().delete(f"/v1/webhooks/{segment(endpoint)}")
    emit({"removed": endpoint}, as_json, lambda data: typer.echo(f"{data['removed']} removed"))


def _table(items: list[dict[str, Any]]) -> None:
    table(
        ("endpoint", "url", "types", "state"),
        [
            (
                item["id"],
                item["url"],
                text(item["types"]) or "all",
                item["state"] + (f": {item['disabled_reason']}" if item["disabled_reason"] else ""),
            )
            for item in items
        ],
        empty="no endpoint; add one with `tracker webhooks add URL`",
    )


def _secret(item: dict[str, Any]) -> None:
    typer.echo(f"endpoint  {item['id']}")
    typer.echo(f"url       {item['url']}")
    typer.echo(f"secret    {item['secret']}  (shown this once)")


def _queued(data: dict[str, Any]) -> None:
    typer.echo(f"{data['queued']} queued")


def _deliveries(data: dict[str, Any]) -> None:
    table(
        (">delivery", "type", ">sequence", "state", ">tries", "last", "due or done"),
        [
            (
                str(item["id"]),
                text(item["type"]),
                str(item["sequence"]),
                item["state"],
                str(item["attempts"]),
                text(item["last_error"] or item["last_status"], ""),
                minute(item["finished_at"] or item["due_at"]),
            )
            for item in data["items"]
        ],
        empty="nothing was sent",
    )
