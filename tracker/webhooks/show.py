"""How an arrived webhook is shown: for people with Rich, for programs a JSON object a line."""

from __future__ import annotations

import json
import sys
from typing import Any

from tracker.events.body import utc_text
from tracker.webhooks.inbox import Arrival

_COLOURS = {"info": "cyan", "warning": "yellow", "critical": "bold red"}


def show_json(arrival: Arrival) -> None:
    """One line: `id`, `sequence`, `received_at`, `verified`, and the event or the reason."""
    line: dict[str, Any] = {
        "id": arrival.event_id,
        "sequence": arrival.sequence,
        "received_at": utc_text(arrival.at),
        "verified": arrival.refused is None,
    }
    if arrival.refused is not None:
        line["refused"] = arrival.refused
    if arrival.event is not None:
        line |= {name: arrival.event.get(name) for name in ("type", "timestamp", "data")}
    if arrival.forwarded is not None:
        line["forwarded"] = arrival.forwarded
    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def show_pretty(arrival: Arrival) -> None:
    """A few lines: what was said about whom, how sure, on which ground; a red line if refused."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    if arrival.event is None:
        console.print(
            Text(f"✗ {utc_text(arrival.at)} refused: {arrival.refused}", style="bold red")
        )
        return
    found = arrival.event.get("data")
    data: dict[str, Any] = found if isinstance(found, dict) else {}
    head = Text(f"✓ {utc_text(arrival.at)} ", style="green")
    head.append(str(arrival.event.get("type")), style=_COLOURS.get(str(data.get("severity")), ""))
    head.append(f"  #{arrival.sequence}  {arrival.event_id}", style="dim")
    console.print(head)
    for line in _lines(data):
        console.print(Text("  " + line))
    if arrival.forwarded is not None:
        good = arrival.forwarded.startswith("2")
        console.print(
            Text(f"  forwarded: {arrival.forwarded}", style="green" if good else "bold red")
        )


def _lines(data: dict[str, Any]) -> list[str]:
    lines = []
    entity = data.get("entity")
    if isinstance(entity, dict):
        lines.append(
            f"{entity.get('name')}: {data.get('quantity') or 'unknown'} {data.get('asset')}, "
            f"{data.get('intent')} with probability {data.get('probability')}, "
            f"{data.get('severity')}, {data.get('state')}, revision {data.get('revision')}"
        )
    if data.get("why"):
        lines.append(str(data["why"]))
    links = data.get("links")
    if isinstance(links, dict):
        lines.append(str(links.get("alert")))
    if data.get("test") is True:
        lines.append("a test: nothing happened")
    return lines
