"""`tracker registry`: the bundled registry and facts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tracker.cli.output import Json, emit, row_problems
from tracker.cli.service import client
from tracker.errors import InputError, SourceUnavailableError

app = typer.Typer(rich_markup_mode=None, help="The bundled registry and facts.")


@app.callback()
def _group() -> None:
    """Keep `sync` a command of a group, which others will join."""


@app.command()
def sync(
    attested_url: Annotated[
        str | None,
        typer.Option(help="A holder's own mempool server: reads its wallet set instead."),
    ] = None,
    wallet_id: Annotated[str | None, typer.Option(help="The set's name on that server.")] = None,
    entity: Annotated[str | None, typer.Option(help="The slug of that holder.")] = None,
    as_json: Json = False,
) -> None:
    """Bring registry and facts to what this version ships; doing it twice changes nothing.

    With --attested-url, --wallet-id and --entity: make a holder's attested wallets those that its
    own server names.
    """
    given = {"--attested-url": attested_url, "--wallet-id": wallet_id, "--entity": entity}
    missing = [name for name, value in given.items() if not value]
    if len(missing) < len(given):
        if missing:
            raise InputError(
                "an attested set is named by three options",
                field=missing[0],
                mend=f"give {', '.join(missing)} too",
            )
        body = {"url": attested_url, "wallet_id": wallet_id, "entity": entity}
        read = client().post("/v1/registry/attested", body)
        emit(read, as_json, _show_attested)
        if read["rejected"]:
            raise typer.Exit(1)
        return
    service = client()
    try:
        service.get("/healthz")
    except SourceUnavailableError:
        done = _directly()
    else:
        done = service.post("/v1/registry/sync")
    emit(done, as_json, lambda data: typer.echo(f"in sync since {data['synced_at']}"))


def _show_attested(data: dict[str, Any]) -> None:
    typer.echo(f"{data['entity']}: wallets as {data['source']} names them")
    typer.echo(
        f"{data['opened']} opened, {data['kept']} kept, {data['closed']} closed, "
        f"{len(data['rejected'])} left out; {data['alerts_changed']} alerts changed"
    )
    row_problems(data["rejected"])


def _directly() -> dict[str, Any]:
    """Without a running service the database alone will do."""
    from tracker import bootstrap, config, log

    settings = config.load()
    log.configure(settings.log_level, json=settings.log_json)
    services = bootstrap.build(settings)
    try:
        services.sync(even_if_unchanged=True)
        return {"synced_at": services.clock().strftime("%Y-%m-%dT%H:%M:%SZ")}
    finally:
        services.database.dispose()
