"""The unit of work: one request, one task or one block is one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from tracker.errors import SourceUnavailableError


class Database:
    """A PostgreSQL engine and the only place that commits."""

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        self.engine: Engine = create_engine(
            url,
            pool_pre_ping=True,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=10,
            connect_args={
                "connect_timeout": 5,
                "options": "-c lock_timeout=10000 -c statement_timeout=60000 -c timezone=UTC",
            },
        )

    @contextmanager
    def transaction(self, *, snapshot: bool = False) -> Iterator[Session]:
        """A session that commits when the block ends and rolls back when it raises.

        `snapshot` makes every read of the block see one moment (REPEATABLE READ). Raises
        `SourceUnavailableError` when the server cannot be reached.
        """
        engine = (
            self.engine.execution_options(isolation_level="REPEATABLE READ")
            if snapshot
            else self.engine
        )
        try:
            with Session(engine, expire_on_commit=False) as session, session.begin():
                yield session
        except OperationalError as error:
            if error.connection_invalidated or error.orig is None or _unreachable(error):
                raise SourceUnavailableError(
                    "the database cannot be reached",
                    field="TRACKER_DATABASE_URL",
                    mend="check that PostgreSQL runs (`tracker doctor`); work then goes on",
                ) from error
            raise

    def ping(self) -> None:
        """Raise `SourceUnavailableError` unless the server answers."""
        with self.transaction() as session:
            session.execute(text("select 1"))

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def _unreachable(error: OperationalError) -> bool:
    """True for a failed or lost connection; false for a lock or statement time-out."""
    return getattr(error.orig, "sqlstate", None) is None or str(
        getattr(error.orig, "sqlstate", "")
    ).startswith(("08", "57P"))
