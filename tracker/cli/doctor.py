"""`tracker doctor`: look at everything that the service needs, each with its mend."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tracker.cli.output import Json, emit, first_clause
from tracker.errors import ConfigError, TrackerError

if TYPE_CHECKING:
    from tracker.config import Settings
    from tracker.db import Database
    from tracker.db.operations import SourceStatus
    from tracker.operations.readiness import Check

_SILENT_AFTER = timedelta(minutes=5)  # several canaries in a row went unanswered
_LEAST_FREE = 2_000_000_000  # bytes: PostgreSQL stops for good on a full disk
_WAIT = "see `workers` and the sources; the scan goes on by itself"
_CHAIN_MENDS = {"halted": "check its sources, then `tracker chains resume` (docs/operations.md)"}


def doctor(as_json: Json = False) -> None:
    """Check settings, disk, database, broker, API, chains, sources; exit 1 where one failed."""
    found = [asdict(check) for check in _checks()]
    emit({"checks": found}, as_json, lambda data: _show(data["checks"]))
    if not all(check["ok"] for check in found):
        raise typer.Exit(1)


def _checks() -> Iterator[Check]:
    from tracker import bootstrap, config
    from tracker.db import Database
    from tracker.operations import readiness
    from tracker.operations.readiness import Check

    try:
        settings = config.load()
    except ConfigError as error:
        place = "" if error.field is None else f" ({error.field})"
        yield Check("settings", False, error.message + place, error.mend)
        return
    yield Check("settings", True, f"data in {settings.data_dir}, port {settings.port}")
    yield _disk(settings)
    try:
        broker = bootstrap.redis_url(settings)
    except ConfigError:
        broker = ""  # the check says that none is configured
    try:
        database = Database(bootstrap.database_url(settings), pool_size=1)
    except ConfigError as error:
        yield Check("database", False, error.message, error.mend)
        yield _api(settings)
        return
    try:
        checks = readiness.check(database, broker)
        yield from checks
        yield _api(settings)
        if all(check.ok for check in checks if check.name in ("database", "schema")):
            yield from _queues(database)
            yield from _chains(database, settings)
            yield from _sources(database)
    finally:
        database.dispose()


def _disk(settings: Settings) -> Check:
    from tracker.operations.readiness import Check

    place: Path = settings.data_dir
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    return Check(
        "disk",
        free >= _LEAST_FREE,
        f"{free / 1e9:.1f} GB free at {place}",
        None if free >= _LEAST_FREE else "free some space, or move TRACKER_DATA_DIR",
    )


def _api(settings: Settings) -> Check:
    from tracker.cli.client import ApiClient
    from tracker.operations.readiness import Check

    try:
        service = ApiClient(settings)
        health = service.get("/healthz")
    except TrackerError as error:
        return Check("api", False, error.message, error.mend)
    if not isinstance(health, dict) or "version" not in health:
        return Check(
            "api",
            False,
            f"something else answers at {service.base_url}",
            "set TRACKER_PORT, or TRACKER_API_URL, to the tracker's address",
        )
    return Check("api", True, f"version {health['version']} at {service.base_url}")


def _queues(database: Database) -> Iterator[Check]:
    """Whether workers serve each queue: its canary beats twice a minute."""
    from tracker import bootstrap
    from tracker.operations import repository
    from tracker.operations.readiness import Check

    with database.transaction(snapshot=True) as session:
        beats = repository.heartbeats(session)
    now = bootstrap.system_clock()
    silent = [beat.queue for beat in beats if now - beat.beat_at > _SILENT_AFTER]
    newest = max((beat.beat_at for beat in beats), default=None)
    when = "never" if newest is None else f"{newest:%Y-%m-%d %H:%M}Z"
    if beats and not silent:
        yield Check("workers", True, f"all {len(beats)} queues are served, last at {when}")
        return
    what = "no queue has been served yet" if not beats else f"nobody serves {', '.join(silent)}"
    yield Check(
        "workers",
        False,
        f"{what}; the last sign of a worker: {when}",
        "start the workers: `tracker up`, or `celery -A workers worker`; work then goes on",
    )


def _chains(database: Database, settings: Settings) -> Iterator[Check]:
    """Whether each configured chain's scan still reaches new heights."""
    from tracker import bootstrap
    from tracker.api.reads import chains
    from tracker.operations.readiness import Check

    with database.transaction(snapshot=True) as session:
        heads = chains.heads(session, bootstrap.system_clock(), settings)
    for view in heads.views():
        if view.state == "not_configured":
            continue  # it was left out on purpose
        detail = f"{view.state}: {view.reason}" if view.reason else view.state
        if view.tip_advanced_at is not None:
            when = f"{view.tip_advanced_at:%Y-%m-%d %H:%M:%S}Z"
            detail += f"; block {view.height:,}, new since {when}"
        mend = None if view.state == "ok" else _CHAIN_MENDS.get(view.state, _WAIT)
        yield Check(f"chain {view.chain}", view.state == "ok", detail, mend)


def _sources(database: Database) -> Iterator[Check]:
    from tracker.operations import repository
    from tracker.operations.readiness import Check

    with database.transaction(snapshot=True) as session:
        rows = repository.list_sources(session)
    if not rows:
        yield Check(
            "sources", False, "no source has reported yet", "wait a minute, or see `workers`"
        )
    for row in rows:
        ok = row.state == "ok"
        mend = None if ok else "the service goes on without it and tries again by itself"
        yield Check(f"source {row.name}", ok, source_detail(row), mend)


def source_detail(row: SourceStatus) -> str:
    """A source's state in a line: why, how high and how fast it is, when it is tried again."""
    why = f": {first_clause(row.last_error)}" if row.last_error else ""
    seen = f"; block {row.height:,}" if row.height is not None else ""
    if row.latency_ms is not None:
        seen += f" in {row.latency_ms:,} ms" if seen else f"; {row.latency_ms:,} ms"
    answered = ""
    if row.state != "ok":
        last = f"{row.last_ok:%Y-%m-%d %H:%M}Z" if row.last_ok else "never"
        answered = f"; last answered {last}"
    tried = f"; next try {row.next_try:%Y-%m-%d %H:%M}Z" if row.next_try else ""
    return f"{row.state}{why}{seen}{answered}{tried}"


def _show(checks: list[dict[str, Any]]) -> None:
    for check in checks:
        typer.echo(f"{'ok    ' if check['ok'] else 'failed'}  {check['name']}: {check['detail']}")
        if check["mend"]:
            typer.echo(f"        mend: {check['mend']}")
