"""Whether the service can do its work: database, schema, broker; each with the mend if not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

from alembic.script import ScriptDirectory
from redis import Redis
from redis.exceptions import RedisError

from tracker.db import Database
from tracker.db.migrate import alembic_config
from tracker.errors import SourceUnavailableError, TrackerError
from tracker.operations import repository

_BROKER_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: fine, or what is wrong and how to mend it."""

    name: str
    ok: bool
    detail: str
    mend: str | None = None


def check(database: Database, redis_url: str) -> list[Check]:
    """Look at the database, its schema and the broker, in that order; bounded to some seconds."""
    found = [_check("database", lambda: _database(database))]
    if found[0].ok:
        found.append(_check("schema", lambda: _schema(database)))
    found.append(_check("broker", lambda: _broker(redis_url)))
    return found


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, detail=look())
    except TrackerError as error:
        return Check(name, ok=False, detail=error.message, mend=error.mend)


def _database(database: Database) -> str:
    database.ping()
    return "answers"


@lru_cache(maxsize=1)
def _newest_revision() -> str | None:
    return ScriptDirectory.from_config(alembic_config("")).get_current_head()


def _schema(database: Database) -> str:
    with database.transaction(snapshot=True) as session:
        found = repository.schema_revision(session)
    if found != _newest_revision():
        raise SourceUnavailableError(
            f"the schema stands at {found or 'nothing'}, this version needs {_newest_revision()}",
            mend="run `tracker db upgrade`",
        )
    return f"at {found}"


def _broker(redis_url: str) -> str:
    if not redis_url:
        raise SourceUnavailableError(
            "no broker is configured",
            mend="start the service with `tracker up`, or set TRACKER_REDIS_URL",
        )
    try:
        with Redis.from_url(
            client_url(redis_url),
            socket_connect_timeout=_BROKER_SECONDS,
            socket_timeout=_BROKER_SECONDS,
        ) as client:
            client.ping()
    except (RedisError, ValueError) as error:
        raise SourceUnavailableError(
            f"the broker cannot be reached ({type(error).__name__})",
            field="TRACKER_REDIS_URL",
            mend="check that Redis or Valkey runs; work goes on when it is back",
        ) from error
    return "answers"


def client_url(broker_url: str) -> str:
    """`broker_url` as the Redis client reads it: Celery writes a Unix socket in its own way."""
    if not broker_url.startswith("redis+socket://"):
        return broker_url
    parts = urlsplit(broker_url)
    database = parse_qs(parts.query).get("virtual_host", ["0"])[-1].strip("/")
    return f"unix://{parts.netloc}{parts.path}?db={database}"
