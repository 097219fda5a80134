"""`tracker backup FILE` and `tracker restore FILE`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tracker import config
from tracker.embedded import backup as service

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; an older backup is replaced.")],
    as_json: AsJson = False,
) -> None:
    """Write the database to FILE, beside a running tracker or a stopped one."""
    done = service.backup(config.load(), file)
    if as_json:
        record = {
            "file": str(done.file),
            "size": done.size,
            "taken_at": done.taken_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "revision": done.revision,
            "server_version": done.server_version,
        }
        typer.echo(json.dumps(record))
    else:
        typer.echo(f"backup written: {done.file} ({done.size:,} bytes)")


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `tracker backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace what the installation holds.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put the backup in FILE in the place of the database; stop the tracker first."""
    done = service.restore(config.load(), file, replace=replace)
    if as_json:
        record = {
            "file": str(done.file),
            "revision": done.revision,
            "replaced": done.replaced,
        }
        typer.echo(json.dumps(record))
    else:
        typer.echo(f"restored from {done.file}; start again with `tracker up`")
