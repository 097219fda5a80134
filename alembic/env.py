"""Run the migrations in one transaction each, with a short lock timeout."""

from typing import Any, Literal

import alembic.context as context
import sqlmodel
from sqlalchemy import create_engine, text

import tracker.db
from tracker.db.types import Amount, UtcTime

assert tracker.db  # imported for its tables
target_metadata = sqlmodel.SQLModel.metadata


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our column types as plain SQLAlchemy ones: a migration must not import the package."""
    if kind == "type" and isinstance(item, Amount):
        return "sa.Numeric(78, 0)"
    if kind == "type" and isinstance(item, UtcTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, sqlmodel.AutoString):
        return "sa.String()"
    return False


engine = create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    connection.execute(text("set lock_timeout = '5s'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=target_metadata,
        transaction_per_migration=True,
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
