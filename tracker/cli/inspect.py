"""`tracker inspect`: what a recorded block moves for given addresses; needs no running service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tracker.chains.bitcoin.inspect import Inspection, inspect_block, watch_scripts
from tracker.chains.bitcoin.recorded import block_in, coins_in, load_file
from tracker.cli import output
from tracker.domain.units import quantity_text
from tracker.errors import InputError, TrackerError

app = typer.Typer(
    help="Show what a recorded block moves for given addresses.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """Keep `bitcoin` a command of its own while it is the only one."""


@app.command()
def bitcoin(
    raw: Annotated[Path, typer.Option(help="The block: raw, hex or JSON, gzipped or not.")],
    spent: Annotated[
        Path | None, typer.Option(help="The coins that the block spends, JSON in input order.")
    ] = None,
    watch: Annotated[
        list[str] | None, typer.Option(help="An address, or script:HEX; may be given again.")
    ] = None,
    watch_file: Annotated[
        Path | None, typer.Option(help="A file with one address a line; # begins a comment.")
    ] = None,
    height: Annotated[
        int | None, typer.Option(min=0, help="The height, for blocks that do not state it.")
    ] = None,
    network: Annotated[
        str, typer.Option(help="mainnet, testnet, signet or regtest.")
    ] = "mainnet",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show a Bitcoin block's movements for addresses, once its hash and merkle root check out."""
    try:
        addresses = [("--watch", address) for address in watch or ()]
        if watch_file is not None:
            addresses += _watch_lines(watch_file)
        names, errors = watch_scripts(addresses, network)
        for error in errors:
            typer.echo(f"tracker inspect bitcoin: {error}", err=True)
        if errors:
            raise typer.Exit(2)
        block = block_in(load_file(raw, "--raw"))
        found = inspect_block(
            block.raw, names, network=network,
            spent=None if spent is None else coins_in(load_file(spent, "--spent")),
            height=block.height if height is None else height,
        )
    except TrackerError as error:
        typer.echo(f"tracker inspect bitcoin: {error}", err=True)
        raise typer.Exit(2) from error
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        _show(found)


def _watch_lines(path: Path) -> list[tuple[str, str]]:
    try:
        text = load_file(path, "--watch-file").decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(
            "the file is not text", field="--watch-file", value=path,
            mend="give one address a line",
        ) from None
    lines = enumerate((line.partition("#")[0].strip() for line in text.splitlines()), start=1)
    return [(f"--watch-file line {number}", line) for number, line in lines if line]


def _show(found: Inspection) -> None:
    header = found.scan.header
    height = "unknown height" if found.height is None else f"block {found.height}"
    typer.echo(f"Bitcoin {found.network}, {height}, {header.time:%Y-%m-%d %H:%M:%S} UTC")
    typer.echo(f"{header.hash.hex()}, {found.scan.tx_count} transactions\n")
    output.table(
        ("address", ">BTC", "ref", "kind", "transaction"),
        (
            (found.names[move.script], quantity_text(move.amount, "BTC"), move.ref, move.kind,
             move.txid.hex())
            for move in found.movements
        ),
        empty="No movement of these addresses.", title="Movements",
    )
    typer.echo("")
    output.table(
        ("address", ">received", ">spent", ">net"),
        (
            (total.address, *(
                "unknown" if amount is None else quantity_text(amount, "BTC")
                for amount in (total.received, total.spent, total.net)
            ))
            for total in found.totals
        ),
        empty="No address.", title="Totals (BTC)",
    )
    if any(total.spent is None for total in found.totals):
        typer.echo("\nSpent coins of earlier blocks are unknown: give them with --spent.")
