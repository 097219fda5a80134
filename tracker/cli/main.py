"""The `tracker` command: its commands by name, and errors as one clear message."""

from __future__ import annotations

import os
import sys
from typing import Annotated, ClassVar

import typer

from tracker.cli.groups import LazyGroup
from tracker.errors import ConfigError, ConflictError, InputError, NotFoundError, TrackerError


class Commands(LazyGroup):
    """Every command: name, where it lives, what it does."""

    table: ClassVar[dict[str, tuple[str, str, str]]] = {
        "up": ("tracker.cli.up", "up", "Start the whole service here. Ctrl-C stops it."),
        "doctor": ("tracker.cli.doctor", "doctor", "Look at everything the service needs."),
        "api": ("tracker.cli.serve", "api", "Serve the HTTP API and the page."),
        "db": ("tracker.cli.database", "app", "Bring the database to the newest schema."),
        "entities": ("tracker.cli.entities", "app", "Who is followed, and what can be seen."),
        "wallets": ("tracker.cli.wallets", "app", "The addresses of an entity."),
        "backfill": ("tracker.cli.backfill", "app", "Read the history of wallets."),
        "holdings": ("tracker.cli.holdings", "holdings", "What an entity holds, by each source."),
        "changes": ("tracker.cli.changes", "changes", "What changed the holdings, by cause."),
        "transfers": ("tracker.cli.holdings", "transfers", "What moved, and what it was."),
        "disclosures": ("tracker.cli.holdings", "disclosures", "What an entity reported."),
        "mnav": ("tracker.cli.mnav", "mnav", "Every mNAV that has its inputs."),
        "alerts": ("tracker.cli.alerts", "app", "Who started to sell."),
        "events": ("tracker.cli.events", "events", "The feed that webhooks are made of."),
        "webhooks": ("tracker.cli.webhooks", "app", "Receivers of signed events."),
        "listen": ("tracker.cli.listen", "listen", "A local receiver that verifies signatures."),
        "labels": ("tracker.cli.labels", "app", "Label packs: what addresses are known as."),
        "registry": ("tracker.cli.registry", "app", "The bundled registry and facts."),
        "chains": ("tracker.cli.chains", "app", "Where each chain's scan stands."),
        "reconcile": ("tracker.cli.reconcile", "reconcile", "Compare the ledger with the chain."),
        "discrepancies": (
            "tracker.cli.reconcile", "discrepancies", "Where ledger and chain differ.",
        ),
        "sources": ("tracker.cli.sources", "sources", "The state of each source."),
        "keys": ("tracker.cli.keys", "app", "Bearer keys of the API."),
        "backup": ("tracker.cli.backup", "backup", "Write a backup of the database."),
        "restore": ("tracker.cli.backup", "restore", "Bring a backup back."),
        "inspect": ("tracker.cli.inspect", "app", "What a recorded block holds; needs no service."),
    }


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Follows the coins and the filings of treasuries and reserves.",
)

_INPUT = (InputError, NotFoundError, ConflictError, ConfigError)


def _version(asked: bool) -> None:
    if asked:
        from tracker import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Follows the coins and the filings of treasuries and reserves."""


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 what was typed cannot be used."""
    try:
        app(prog_name="tracker")
    except TrackerError as error:
        if os.environ.get("TRACKER_DEBUG"):
            raise
        typer.echo(describe(error), err=True)
        sys.exit(exit_code(error))


def describe(error: TrackerError) -> str:
    """The error for people: the sentence, then field, value and mend below it."""
    from tracker.log import mask

    lines = [f"error: {error.message}"]
    details = (("field", error.field), ("value", error.value), ("mend", error.mend))
    lines += [f"  {name}: {detail}" for name, detail in details if detail]
    return mask("\n".join(lines))


def exit_code(error: TrackerError) -> int:
    """2 where what was given is at fault, 1 where the world is."""
    at_fault = isinstance(error, _INPUT) or getattr(error, "input_error", False)
    return 2 if at_fault else 1


if __name__ == "__main__":
    main()
