"""`tracker db`: the schema."""

from __future__ import annotations

import typer

from tracker.cli.output import Json, emit

app = typer.Typer(rich_markup_mode=None, help="The schema of the database.")


@app.callback()
def _group() -> None:
    """Keep `upgrade` a command of a group, as the contract names it."""


@app.command()
def upgrade(as_json: Json = False) -> None:
    """Bring the database to the newest schema; safe to run twice and at once."""
    from tracker import bootstrap, config
    from tracker.db import Database, migrate

    url = bootstrap.database_url(config.load())
    database = Database(url, pool_size=1)
    try:
        database.ping()  # says what to mend where the server is not there
        migrate.upgrade(url)
    finally:
        database.dispose()
    emit({"schema": "newest"}, as_json, lambda _: typer.echo("the schema is the newest"))
