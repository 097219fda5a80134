"""What `tracker up` shows: one live region on a terminal, else a line for each change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tracker.embedded.health import Health, SourceHealth
from tracker.embedded.supervised import ChildState

_GOOD, _WARN, _BAD, _DIM = "green", "yellow", "red", "dim"
_COLOURS = {"up": _GOOD, "ok": _GOOD, "failing": _BAD, "lying": _BAD, "unreachable": _BAD}


@dataclass(frozen=True, slots=True)
class Status:
    """One look at the whole installation."""

    address: str
    key_file: Path
    children: Sequence[ChildState]
    health: Health


class Display(Protocol):
    """Where the status goes."""

    def say(self, event: str, text: str) -> None:
        """Print one line for people; `event` names it for programs."""

    def show(self, status: Status) -> None:
        """Show the newest status."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def display(console: Console, *, as_json: bool = False) -> Display:
    """A live region on a terminal, one line for each change elsewhere or with `as_json`."""
    if console.is_terminal and not as_json:
        return LiveDisplay(console)
    return LineDisplay(console, as_json=as_json)


class LineDisplay:
    """One line for each change, plain or JSON."""

    def __init__(self, console: Console, *, as_json: bool = False) -> None:
        self._console = console
        self._as_json = as_json
        self._shown: dict[str, str] = {}

    def say(self, event: str, text: str) -> None:
        """Print one line."""
        line = json.dumps({"event": event, "text": text}) if self._as_json else text
        self._console.print(Text(line), soft_wrap=True)

    def show(self, status: Status) -> None:
        """Print a line for each child and source whose state is not the one printed last."""
        for one in status.children:
            if one.phase == "waiting":
                continue  # not begun: nothing has changed
            self._changed("child", one.name, one.phase, _child_line(one))
        for source in status.health.sources or ():
            self._changed("source", source.name, source.state, _source_line(source))

    def _changed(self, event: str, name: str, state: str, text: str) -> None:
        key = f"{event} {name}"
        if self._shown.get(key) != state:
            self._shown[key] = state
            self.say(event, text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


class LiveDisplay:
    """A region at the foot of the terminal, redrawn in place; lines said scroll above it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def say(self, event: str, text: str) -> None:
        """Print one line above the region."""
        self._live.console.print(Text(text), soft_wrap=True)

    def show(self, status: Status) -> None:
        """Redraw the region."""
        self._live.update(_region(status), refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()


def _child_line(one: ChildState) -> str:
    if one.phase in ("up", "stopped"):
        return f"{one.name}: {one.phase}"
    return f"{one.name}: {one.phase} ({one.last_end}); log: {one.log}"


def _source_line(source: SourceHealth) -> str:
    detail = _source_detail(source)
    return f"source {source.name}: {source.state}" + (f" ({detail})" if detail else "")


def _region(status: Status) -> Group:
    head = Table.grid(padding=(0, 2))
    head.add_row(Text("page and API", _DIM), Text(status.address, "bold"))
    head.add_row(Text("key for writes", _DIM), Text(f"in {status.key_file}"))
    head.add_row(Text("now", _DIM), _doing(status))
    table = Table(box=None, padding=(0, 2), header_style=_DIM)
    for title in ("what", "state", "block", "detail"):
        table.add_column(title, overflow="fold")
    for one in status.children:
        detail = "" if one.last_end is None else f"last end: {one.last_end}; log: {one.log}"
        table.add_row(one.name, _coloured(one.phase), "", Text(detail, _DIM))
    for source in status.health.sources or ():
        height = "" if source.height is None else str(source.height)
        table.add_row(
            Text(source.name), _coloured(source.state), height, Text(_source_detail(source), _DIM)
        )
    foot = Text("Ctrl-C stops it; a second start goes on from there.", _DIM)
    return Group(head, Text(), table, Text(), foot)


def _doing(status: Status) -> Text:
    """What the installation is at, in one line."""
    health = status.health
    if not health.ready:
        return Text("starting the API", _WARN)
    if any(one.phase == "waiting" for one in status.children):
        return Text("the page is there; the workers start", _WARN)
    if health.sources is None:
        return Text(f"ready; the sources are not known: {health.reason}", _WARN)
    if not health.sources:
        return Text("ready; asking the sources for the first time", _GOOD)
    answering = [source for source in health.sources if source.state in ("ok", "lagging")]
    if not answering:
        return Text("ready; no source answers: serving what is stored, with its dates", _WARN)
    return Text(f"ready; {len(answering)} of {len(health.sources)} sources answer", _GOOD)


def _source_detail(source: SourceHealth) -> str:
    parts = [source.last_error] if source.last_error else []
    if source.next_try:
        parts.append(f"next try {_clock(source.next_try)}")
    return "; ".join(parts)


def _clock(instant: str) -> str:
    """The time of day of an ISO instant, as people read it beside a running clock."""
    try:
        return datetime.fromisoformat(instant).astimezone(UTC).strftime("%H:%M:%S UTC")
    except ValueError:
        return instant


def _coloured(state: str) -> Text:
    return Text(state, _COLOURS.get(state, _WARN))
