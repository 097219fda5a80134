"""What `tracker up` prints."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tracker.embedded.health import Health, SourceHealth
from tracker.embedded.status import LineDisplay, LiveDisplay, Status, display
from tracker.embedded.supervised import ChildState, Phase

HEAD = ChildState("head", "up", 41, 0, None, Path("logs/head.log"))
SOURCE = SourceHealth("esplora [bold]one", "unreachable", None, "no route", "2026-01-01T12:00:05Z")
STATUS = Status(
    address="http://127.0.0.1:8321",
    key_file=Path("data/admin.key"),
    children=(HEAD,),
    health=Health(True, (SOURCE,), None),
)


def test_lines_come_on_change_only() -> None:
    out = io.StringIO()
    shown = LineDisplay(Console(file=out))
    shown.show(STATUS)
    shown.show(STATUS)
    shown.show(replace(STATUS, health=Health(True, (replace(SOURCE, last_error="other"),), None)))
    failing = replace(HEAD, phase="failing", last_end="exit code 3")
    shown.show(replace(STATUS, children=(failing,)))
    assert out.getvalue().splitlines() == [
        "head: up",
        "source esplora [bold]one: unreachable (no route; next try 12:00:05 UTC)",
        "head: failing (exit code 3); log: logs/head.log",
    ]


def test_what_has_not_begun_is_not_told() -> None:
    out = io.StringIO()
    waiting = replace(HEAD, phase="waiting")
    LineDisplay(Console(file=out)).show(
        replace(STATUS, children=(waiting,), health=Health(False, None, None))
    )
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("phase", "health", "says"),
    [
        ("waiting", Health(False, None, None), "starting the API"),
        ("waiting", Health(True, (), None), "the page is there; the workers start"),
        ("up", Health(True, None, "no answer"), "the sources are not known: no answer"),
        ("up", Health(True, (), None), "asking the sources for the first time"),
        ("up", Health(True, (SOURCE,), None), "no source answers: serving what is stored"),
        ("up", Health(True, (SOURCE, replace(SOURCE, state="ok")), None), "1 of 2 sources answer"),
    ],
)
def test_one_line_says_what_it_is_at(phase: Phase, health: Health, says: str) -> None:
    out = io.StringIO()
    with display(Console(file=out, force_terminal=True, width=120)) as shown:
        shown.show(replace(STATUS, children=(replace(HEAD, phase=phase),), health=health))
    assert says in out.getvalue()


def test_json_gives_one_object_a_line() -> None:
    out = io.StringIO()
    display(Console(file=out, force_terminal=True), as_json=True).show(STATUS)
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["child", "source"]


def test_a_terminal_gets_a_live_region_with_address_key_path_and_sources() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with display(console) as shown:
        assert isinstance(shown, LiveDisplay)
        shown.show(replace(STATUS, health=Health(True, None, "/v1/sources answers 500")))
        shown.show(STATUS)
        shown.say("ready", "ready: http://127.0.0.1:8321")
    text = out.getvalue()
    for part in ("http://127.0.0.1:8321", "admin.key", "head", "esplora [bold]one", "unreachable"):
        assert part in text
    assert "/v1/sources answers 500" in text
