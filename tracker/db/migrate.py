"""Bring a database to the newest schema with Alembic, from any folder."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from tracker import resources

# Any constant serves: two processes that start at once must not migrate at once.
_LOCK = 0x7472_6163_6B65


def alembic_config(url: str) -> Config:
    """Alembic's configuration for the shipped migrations and the given database."""
    config = Config()
    config.set_main_option("script_location", str(resources.folder("alembic")).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Apply every migration up to `revision`; safe to call from several processes at once."""
    engine = create_engine(url)
    try:
        with engine.connect() as lock:
            lock.execute(text("select pg_advisory_lock(:key)"), {"key": _LOCK})
            command.upgrade(alembic_config(url), revision)
    finally:
        engine.dispose()
