"""`tracker inspect`: what a recorded block moves for given addresses; needs no running service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tracker.chains.bitcoin.inspect import Inspection, inspect_block, watch_scripts
from tracker.chains.bitcoin.recorded import block_in, coins_in, load_file
from tracker.chains.ethereum import inspect as ethereum_inspect
from tracker.chains.ethereum import recorded as ethereum_files
from tracker.chains.ethereum.address import checksummed
from tracker.chains.ethereum.records import Log, Receipt
from tracker.cli import output
from tracker.domain.units import quantity_text
from tracker.errors import InputError, TrackerError

app = typer.Typer(
    help="Show what a recorded block moves for given addresses.", no_args_is_help=True
)


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


@app.command()
def ethereum(
    block: Annotated[
        Path | None, typer.Option(help="The full block: eth_getBlockByNumber(number, true).")
    ] = None,
    receipts: Annotated[
        Path | None, typer.Option(help="Its receipts: eth_getBlockReceipts; or eth_getLogs.")
    ] = None,
    traces: Annotated[
        Path | None, typer.Option(help="Its traces: trace_block, or callTracer of the block.")
    ] = None,
    logs: Annotated[
        Path | None, typer.Option(help="Its logs, where the receipts do not have them.")
    ] = None,
    watch: Annotated[
        list[str] | None, typer.Option(help="An address; may be given again.")
    ] = None,
    watch_file: Annotated[
        Path | None, typer.Option(help="A file with one address a line; # begins a comment.")
    ] = None,
    height: Annotated[
        int | None, typer.Option(min=0, help="The block, where logs are of several.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show an Ethereum block's movements for addresses, once its files prove to be of one block."""
    try:
        addresses = [("--watch", address) for address in watch or ()]
        if watch_file is not None:
            addresses += _watch_lines(watch_file)
        names, errors = ethereum_inspect.watch_keys(addresses)
        for error in errors:
            typer.echo(f"tracker inspect ethereum: {error}", err=True)
        if errors:
            raise typer.Exit(2)
        found_receipts, found_logs = _receipts_and_logs(receipts, logs)
        found = ethereum_inspect.inspect_block(
            names,
            block=(
                None if block is None else ethereum_files.block_in(load_file(block, "--block"))
            ),
            receipts=found_receipts, logs=found_logs,
            traces=(
                None if traces is None else ethereum_files.traces_in(load_file(traces, "--traces"))
            ),
            height=height,
        )
    except TrackerError as error:
        typer.echo(f"tracker inspect ethereum: {error}", err=True)
        raise typer.Exit(2) from error
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        _show_ethereum(found)


def _receipts_and_logs(
    receipts: Path | None, logs: Path | None
) -> tuple[list[Receipt] | None, list[Log] | None]:
    """What the two files hold; the file of receipts may hold logs instead."""
    found_logs = None if logs is None else ethereum_files.logs_in(load_file(logs, "--logs"))
    if receipts is None:
        if found_logs is None:
            raise InputError(
                "neither receipts nor logs", field="--receipts",
                mend="give the block's receipts, or an eth_getLogs reply",
            )
        return None, found_logs
    found_receipts, logs_instead = ethereum_files.receipts_or_logs_in(
        load_file(receipts, "--receipts")
    )
    if logs_instead is not None and found_logs is not None:
        raise InputError(
            "two files of logs", field="--receipts", value=receipts,
            mend="give receipts here, or leave --logs out",
        )
    return found_receipts, found_logs if logs_instead is None else logs_instead


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


def _show_ethereum(found: ethereum_inspect.Inspection) -> None:
    time = "unknown time" if found.time is None else f"{found.time:%Y-%m-%d %H:%M:%S} UTC"
    typer.echo(f"Ethereum mainnet, block {found.height}, {time}")
    typer.echo(f"0x{found.hash.hex()}\n")
    for address in dict.fromkeys(total.address for total in found.totals):
        output.table(
            (">amount", "asset", "ref", "kind", "transaction"),
            (
                (quantity_text(move.amount, move.asset), move.asset, move.ref, move.kind,
                 f"0x{move.tx.hex()}" if move.tx else "")
                for move in found.movements if checksummed(move.key) == address
            ),
            empty=f"No movement of {address}.", title=address,
        )
        typer.echo("")
    output.table(
        ("address", "asset", "bucket", ">received", ">spent", ">net"),
        (
            (total.address, total.asset, total.bucket, *(
                "unknown" if amount is None else quantity_text(amount, total.asset)
                for amount in (total.received, total.spent, total.net)
            ))
            for total in found.totals
        ),
        empty="No address.", title="Totals",
    )
    for log, deposit in found.nameless:
        typer.echo(
            f"\nDeposit log {int(log.log_index, 16)}: {quantity_text(deposit.amount, 'ETH')} ETH"
            f" to validator 0x{deposit.pubkey.hex()}, whose credentials name no address."
        )
    for reason in found.reasons:
        typer.echo(f"\nNot shown: {reason}.")
