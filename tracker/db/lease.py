"""A lease that one process holds at a time; it saves work, while other means keep the truth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from tracker.db.unit_of_work import Database


@contextmanager
def lease(database: Database, space: int, name: str) -> Iterator[bool]:
    """Whether this process may do the work `name` of `space` now.

    An advisory lock on a connection of its own: it ends with the process, however that dies.
    """
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        key = {"space": space, "name": name}
        got = connection.execute(
            text("select pg_try_advisory_lock(:space, hashtext(:name))"), key
        ).scalar_one()
        try:
            yield bool(got)
        finally:
            if got:
                connection.execute(text("select pg_advisory_unlock(:space, hashtext(:name))"), key)
