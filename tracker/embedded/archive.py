"""A backup file: PostgreSQL's custom archive, written by `pg_dump`, read by stock `pg_restore`."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sqlalchemy import URL, make_url

from tracker.embedded import repository
from tracker.embedded.programs import client_program, postgres_major
from tracker.errors import EmbeddedError, InputError

_MAGIC = b"PGDMP"
_LIST_SECONDS = 60.0
_LOCK_WAIT_MILLISECONDS = 60_000
_CHUNK = 1 << 16
_PASSWORD = "password"  # noqa: S105  the name of libpq's parameter
_SAID_BYTES = 2000
_REVISION = re.compile(
    r"^COPY \S*alembic_version .*?;\n(?P<rows>.*?)^\\\.$", re.DOTALL | re.MULTILINE
)
_SERVER = re.compile(
    r"^;\s+Dumped from database version: (?P<version>(?P<major>\d+)\S*)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Archive:
    """What a backup file says of itself: the server it came from and the schema's revision."""

    file: Path
    server_version: str
    revision: str


def is_archive(file: Path) -> bool:
    """True when `file` begins as a custom archive does."""
    with file.open("rb") as opened:
        return opened.read(len(_MAGIC)) == _MAGIC


def read_archive(file: Path) -> Archive:
    """The header of the backup in `file`.

    Raises `InputError` where it is missing, no archive, damaged, made by a newer PostgreSQL than
    the bundled one, or of another program's database.
    """
    try:
        fits = is_archive(file)
    except OSError as error:
        raise _refusal(file, f"the file cannot be read: {error.strerror}") from error
    if not fits:
        raise _refusal(file, "the file is no backup: it does not begin as a PostgreSQL archive")
    listing = _listed(file, "--list")
    server = _SERVER.search(listing)
    if server is None:
        raise _refusal(file, "the archive does not say which PostgreSQL it comes from")
    if int(server["major"]) > postgres_major():
        raise _refusal(
            file,
            f"the backup comes from PostgreSQL {server['version']}, "
            f"newer than the bundled {postgres_major()}",
            mend="restore it with the tracker version that made it, or a newer one",
        )
    found = _REVISION.search(_listed(file, "--data-only", "--table=alembic_version", "--file=-"))
    revision = found["rows"].strip() if found is not None else ""
    if not revision:
        raise _refusal(file, "the archive holds no tracker database: it names no schema revision")
    return Archive(file=file, server_version=server["version"], revision=revision)


def dump(url: str, target: Path) -> None:
    """Write the database at `url` over the file `target`: a custom archive, one snapshot.

    A file and not a pipe: only there can `pg_dump` put the places of the data into the table of
    contents, without which a cut file is read as a whole one.
    Raises `EmbeddedError` with what `pg_dump` said.
    """
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(  # noqa: S603  the argument list is our own
            [
                str(client_program("pg_dump")),
                "--format=custom",
                "--no-owner",
                "--no-privileges",
                "--no-password",
                f"--lock-wait-timeout={_LOCK_WAIT_MILLISECONDS}",
                f"--dbname={_address(url)}",
                f"--file={target}",
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=_environment(url),
        )
        if done.returncode != 0:
            raise EmbeddedError(
                f"the backup failed: {_said(said)}",
                field="database",
                mend="check that the database runs and the disk has room",
            )


def load(archive: Archive, url: str) -> None:
    """Replace the database at `url` by the archive's, in one transaction.

    Raises `EmbeddedError` with what the programs said; then the database is as it was.
    """
    with tempfile.TemporaryFile() as read_said, tempfile.TemporaryFile() as load_said:
        reader = subprocess.Popen(  # noqa: S603  the argument list is our own
            [
                str(client_program("pg_restore")),
                "--no-owner",
                "--no-privileges",
                "--file=-",
                str(archive.file),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=read_said,
            env=_environment(url),
        )
        loader = subprocess.Popen(  # noqa: S603  the argument list is our own
            [
                str(client_program("psql")),
                *("--no-psqlrc", "--quiet", "--no-password", "--single-transaction"),
                *("--set=ON_ERROR_STOP=1", f"--dbname={_address(url)}"),
                *("--command", repository.EMPTY_DATABASE, "--file=-"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=load_said,
            env=_environment(url),
        )
        try:
            read, loaded = _pump(reader, loader)
        finally:
            # The end of its input is psql's word to commit: on any doubt it must not come.
            for process in (loader, reader):
                process.kill()
                process.wait()
            for pipe in (loader.stdin, reader.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):  # what psql no longer reads is still buffered
                        pipe.close()
        if read != 0 or loaded != 0:
            raise EmbeddedError(
                f"the restore failed, nothing was changed: {_said(read_said) or _said(load_said)}",
                field="FILE",
                value=archive.file,
                mend="use an undamaged backup; check that the disk has room",
            )


def _pump(reader: subprocess.Popen[bytes], loader: subprocess.Popen[bytes]) -> tuple[int, int]:
    """Move the script from reader to loader; exit codes of both, -1 for one not let finish."""
    if reader.stdout is None or loader.stdin is None:
        raise EmbeddedError("the restore programs were started without pipes")
    try:
        while chunk := reader.stdout.read(_CHUNK):
            loader.stdin.write(chunk)
        loader.stdin.flush()
    except BrokenPipeError:
        return 0, loader.wait()  # it stopped at an error, and says which
    read = reader.wait()
    if read != 0:
        return read, -1
    loader.stdin.close()
    return read, loader.wait()


def _listed(file: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  the argument list is our own
            [str(client_program("pg_restore")), *arguments, str(file)],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LIST_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise _refusal(file, f"the backup cannot be read in {_LIST_SECONDS:.0f} s") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise _refusal(file, f"the backup is damaged: {said[-_SAID_BYTES:]}")
    return done.stdout.decode("utf-8", "replace")


def _address(url: str) -> str:
    """The form of `url` for libpq, without the password: anybody can read command lines."""
    parts = make_url(url)
    return URL.create(
        "postgresql",
        username=parts.username,
        host=parts.host,
        port=parts.port,
        database=parts.database,
        query=parts.difference_update_query([_PASSWORD]).query,
    ).render_as_string()


def _environment(url: str) -> Mapping[str, str]:
    """Our environment with the password and untranslated messages."""
    parts = make_url(url)
    password = parts.password or parts.query.get(_PASSWORD)
    given = {} if password is None else {"PGPASSWORD": str(password)}
    return {**os.environ, "LC_ALL": "C", **given}


def _said(stream: IO[bytes]) -> str:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _SAID_BYTES))
    return stream.read(_SAID_BYTES).decode("utf-8", "replace").strip()


def _refusal(file: Path, message: str, *, mend: str | None = None) -> InputError:
    return InputError(
        message,
        field="FILE",
        value=file,
        mend=mend or "name a file that `tracker backup` wrote, copied whole",
    )
