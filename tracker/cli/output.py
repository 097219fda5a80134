"""How commands speak: the API's JSON as it is, or tables that fit 80 columns."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the API's JSON instead of a table.")]


def emit(data: Any, as_json: bool, show: Callable[[Any], None]) -> None:
    """Print `data` as JSON, or let `show` draw it."""
    if as_json:
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        show(data)


def emit_line(data: Any, as_json: bool, show: Callable[[Any], str]) -> None:
    """Print one item of a stream: a JSON object a line, or `show`'s sentence."""
    typer.echo(json.dumps(data, ensure_ascii=False) if as_json else show(data))
    sys.stdout.flush()


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    empty: str,
    title: str | None = None,
    fold: str | None = None,
) -> None:
    """Print a table below its title, or the sentence `empty` where there are no rows.

    A column name that begins with `>` is set to the right. Numbers never break; with `fold` only
    that column does.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    found = list(rows)
    if not found:
        typer.echo(empty)
        return
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        name = column.removeprefix(">")
        right = name != column
        drawn.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=right or (fold is not None and name != fold),
            overflow="fold",
        )
    for row in found:
        drawn.add_row(*(Text(cell) for cell in row))
    Console().print(drawn)


def paragraph(sentence: str) -> None:
    """Print a sentence, broken where the terminal ends."""
    width = shutil.get_terminal_size().columns
    for line in textwrap.wrap(sentence, width, break_on_hyphens=False):
        typer.echo(line)


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values below each other."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        typer.echo(f"{name.ljust(width)}  {value}")


def text(value: Any, unknown: str = "unknown") -> str:
    """A value for people: unknown is said, never shown as 0."""
    if value is None:
        return unknown
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)


def number(value: str | None, decimals: int = 4) -> str:
    """A decimal string with thousands parted and at most `decimals` places."""
    if value is None:
        return "unknown"
    shown = f"{Decimal(value):,.{decimals}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def money(value: str | None) -> str:
    """US dollars, short: 1.23bn, 4.5m."""
    if value is None:
        return "unknown"
    amount = Decimal(value)
    for size, name in ((Decimal(10**9), "bn"), (Decimal(10**6), "m")):
        if abs(amount) >= size:
            return f"${amount / size:,.2f}{name}"
    return f"${amount:,.0f}"


def first_clause(error: str | None) -> str:
    """What went wrong, without the field, value and mend that follow it."""
    return (error or "").partition(";")[0]


def day(value: str | None) -> str:
    """The date of an ISO time."""
    return "unknown" if value is None else value[:10]


def minute(value: str | None) -> str:
    """An ISO time to the minute."""
    return (
        "never" if value is None else value[:16].replace("T", " ") + ("Z" if "T" in value else "")
    )


def imported(report: dict[str, Any], as_json: bool) -> None:
    """Print how an import went; exits with 1 where rows were left out."""
    emit(report, as_json, _report)
    if report["rejected"]:
        raise typer.Exit(1)


def _report(report: dict[str, Any]) -> None:
    verb = "would be taken" if report["dry_run"] else "taken"
    typer.echo(
        f"{report['accepted']} rows {verb}, {report['unchanged']} known already, "
        f"{len(report['rejected'])} left out"
    )
    row_problems(report["rejected"])


def row_problems(rejected: Iterable[dict[str, Any]]) -> None:
    """Print why each row was left out."""
    for row in rejected:
        place = f"{row['field']}={row['value']}" if row["value"] else row["field"]
        typer.echo(f"  row {row['row']}: {row['message']} ({place}); mend: {row['mend']}")
