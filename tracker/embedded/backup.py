"""`tracker backup` and `tracker restore`: what cannot be rebuilt from the chain, in one file.

Alert history, adoptions and knowledge times exist nowhere else. The file holds the database; the
bearer key and the servers' passwords belong to an installation and are made anew. Webhook secrets
are in the database, so the file is written for its owner's eyes only.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from tracker.config import Settings
from tracker.db import migrate
from tracker.embedded import archive as archives
from tracker.embedded import repository
from tracker.embedded.archive import Archive
from tracker.embedded.servers import EmbeddedServers, read_servers_file
from tracker.errors import ConflictError, EmbeddedError, InputError


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was written: `size` in bytes, `revision` of the schema."""

    file: Path
    size: int
    taken_at: datetime
    revision: str
    server_version: str


@dataclass(frozen=True, slots=True)
class Restore:
    """A backup that was restored; the schema is now at the newest revision."""

    file: Path
    revision: str
    replaced: bool


def backup(settings: Settings, file: Path) -> Backup:
    """Write the installation's database to `file` (mode 0600), whole or not at all.

    Works beside a running tracker and on a stopped one. Raises `InputError` where `file` cannot be
    written or is something else than an older backup, `EmbeddedError` where the dump fails.
    """
    file = file.absolute()
    _check_target(file)
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    taken_at = datetime.now(UTC)
    try:
        with _database(settings) as url:
            _write(url, part)
        written = archives.read_archive(part)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return Backup(
        file=file,
        size=file.stat().st_size,
        taken_at=taken_at,
        revision=written.revision,
        server_version=written.server_version,
    )


def restore(settings: Settings, file: Path, *, replace: bool = False) -> Restore:
    """Put the backup in `file` in the place of the installation's database, then migrate it.

    Raises `InputError` for a file that cannot be used, `ConflictError` where the installation is
    not empty and `replace` is False, `EmbeddedError` while the tracker runs or where loading fails;
    the database is as it was then.
    """
    file = file.absolute()
    archive = archives.read_archive(file)
    servers = EmbeddedServers(
        settings.data_dir, database_url=settings.database_url, with_valkey=False
    )
    if not servers.try_claim("tracker restore"):
        raise EmbeddedError(
            f"this data folder is in use by {servers.holder()}",
            field="TRACKER_DATA_DIR",
            value=settings.data_dir,
            mend="stop it first: workers must not write while their database is replaced",
        )
    with servers as urls:
        _check_revision(archive, urls.database_url)
        filled = bool(repository.table_names(urls.database_url))
        if filled and not replace:
            raise ConflictError(
                "the installation is not empty",
                field="--replace",
                value=settings.data_dir,
                mend="back it up first; then give --replace to put the backup in its place",
            )
        archives.load(archive, urls.database_url)
        migrate.upgrade(urls.database_url)
    return Restore(file=file, revision=archive.revision, replaced=filled)


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """The address of the database: an own one, the running tracker's, or one started for this."""
    if settings.database_url:
        yield settings.database_url
        return
    servers = EmbeddedServers(settings.data_dir, with_valkey=False)
    if not servers.try_claim("tracker backup"):
        yield read_servers_file(settings.servers_file).database_url
        return
    if not servers.folder.postgres.exists():
        servers.stop()
        raise EmbeddedError(
            "there is no installation to back up",
            field="TRACKER_DATA_DIR",
            value=settings.data_dir,
            mend="set TRACKER_DATA_DIR to the folder that `tracker up` uses",
        )
    with servers as urls:
        yield urls.database_url


def _write(url: str, part: Path) -> None:
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        archives.dump(url, part)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_target(file: Path) -> None:
    if not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
        raise InputError(
            "the backup's folder is missing or cannot be written",
            field="FILE",
            value=file,
            mend="name a file in a folder that this user may write",
        )
    if file.exists() and not (file.is_file() and archives.is_archive(file)):
        raise InputError(
            "the file exists and is no backup",
            field="FILE",
            value=file,
            mend="name a new file, or an older backup to be replaced",
        )


def _check_revision(archive: Archive, url: str) -> None:
    """Refuse a backup whose schema this version does not know: it comes from a newer tracker."""
    try:
        ScriptDirectory.from_config(migrate.alembic_config(url)).get_revision(archive.revision)
    except CommandError as error:
        raise InputError(
            f"the backup's schema revision {archive.revision} is unknown to this version",
            field="FILE",
            value=archive.file,
            mend="install the tracker version that made the backup, or a newer one",
        ) from error
