"""What `tracker doctor` says of a source, in a line."""

from __future__ import annotations

from datetime import UTC, datetime

from tracker.cli.doctor import source_detail
from tracker.db.operations import SourceStatus

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def row(state: str, **values: object) -> SourceStatus:
    return SourceStatus(name="esplora+https://e.example", kind="esplora", state=state, **values)


def test_one_that_is_well_shows_how_high_and_how_fast_it_is() -> None:
    assert source_detail(row("ok", height=925_001, latency_ms=1_204)) == (
        "ok; block 925,001 in 1,204 ms"
    )


def test_one_that_was_never_asked_shows_nothing_it_does_not_know() -> None:
    assert source_detail(row("ok")) == "ok"


def test_one_that_is_put_aside_says_why_since_when_and_until_when() -> None:
    down = row(
        "unreachable", height=7, last_ok=AT, next_try=AT,
        last_error="e.example cannot be reached: no connection; field: source; mend: wait",
    )
    assert source_detail(down) == (
        "unreachable: e.example cannot be reached: no connection; block 7; "
        "last answered 2026-11-22 12:00Z; next try 2026-11-22 12:00Z"
    )
    assert source_detail(row("lying")).endswith("last answered never")
