"""The little SQL of backup and restore: what is in a database, and how to empty it."""

from __future__ import annotations

from sqlalchemy import create_engine, inspect

# Runs before the restored script, in its transaction: a failed restore leaves the old data.
EMPTY_DATABASE = "DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public;"


def table_names(url: str) -> tuple[str, ...]:
    """Names of the tables in the database at `url`, sorted."""
    engine = create_engine(url)
    try:
        return tuple(sorted(inspect(engine).get_table_names()))
    finally:
        engine.dispose()
