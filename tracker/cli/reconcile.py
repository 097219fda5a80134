"""`tracker reconcile` and `tracker discrepancies`: the ledger against the chain itself."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from tracker.cli.client import ApiClient, segment
from tracker.cli.holdings import wallet_balances
from tracker.cli.output import Json, emit, number, paragraph, table
from tracker.cli.service import client
from tracker.errors import SourceUnavailableError

_LOOK_SECONDS = 0.5

Entity = Annotated[str | None, typer.Argument(help="Of this entity only.")]


def discrepancies(
    entity: Entity = None,
    state: Annotated[str | None, typer.Option(help="open, explained or closed")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List where the ledger and a probed balance differed, newest first."""
    found = client().all_items("/v1/discrepancies", limit=limit, entity=entity, state=state)
    emit(found, as_json, lambda data: _table(data["items"]))


def reconcile(
    entity: Entity = None,
    wait: Annotated[float, typer.Option(min=1, max=3600, help="Seconds to wait for it.")] = 120,
    as_json: Json = False,
) -> None:
    """Have the service compare wallets with the chain now, and show what it found."""
    service = client()
    asked = service.post("/v1/reconcile", {"entity": entity})
    done = _await(service, entity, asked["asked_at"], wait)
    path = "/v1/wallets" if entity is None else f"/v1/entities/{segment(entity)}/wallets"
    found = {
        "request": done,
        "wallets": service.all_items(path)["items"],
        "discrepancies": service.all_items("/v1/discrepancies", entity=entity, state="open")[
            "items"
        ],
    }
    emit(found, as_json, _show)


def _await(service: ApiClient, entity: str | None, asked_at: str, seconds: float) -> Any:
    """The answered request. Raises `SourceUnavailableError` where nobody answers in time."""
    started = time.monotonic()
    drawn = sys.stderr.isatty()
    try:
        while True:
            found = service.get("/v1/reconcile", entity=entity)
            if found["state"] == "answered" and found["asked_at"] >= asked_at:
                return found
            waited = time.monotonic() - started
            if waited >= seconds:
                raise SourceUnavailableError(
                    "the request to reconcile was not answered in time",
                    field="--wait",
                    value=seconds,
                    mend="see `tracker doctor` for the queue `reconcile`; it is answered still",
                )
            if drawn:
                typer.echo(f"\rreconciling, {waited:.0f} s …", nl=False, err=True)
            time.sleep(_LOOK_SECONDS)
    finally:
        if drawn:
            typer.echo("\r" + " " * 30 + "\r", nl=False, err=True)


def _show(data: dict[str, Any]) -> None:
    for chain, done in (data["request"]["answer"] or {}).items():
        if done.get("skipped"):
            paragraph(f"{chain}: {done['skipped']}")
        elif not done["wallets"]:
            typer.echo(f"{chain}: no wallet to compare")
        else:
            typer.echo(
                f"{chain}: {done['agreed']} of {done['probed']} balances of {done['wallets']} "
                f"wallets agree at block {done['height']}"
            )
    wallet_balances(data["wallets"])
    _table(data["discrepancies"])


def _table(items: list[dict[str, Any]]) -> None:
    table(
        ("entity", ">block", ">differs by", "asset", "state", "why"),
        [
            (
                item["entity"],
                _place(item),
                number(item["quantity"], 8),
                item["asset"],
                item["state"],
                item["says"],
            )
            for item in items
        ],
        empty="no discrepancy",
        fold="why",
    )


def _place(item: dict[str, Any]) -> str:
    low = item["from_height"]
    return str(item["height"]) if low is None else f"{low}-{item['height']}"
