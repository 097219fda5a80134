"""Backup and restore of a real database, with the bundled programs."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from tests.folders import passable_folder
from tracker.cli.main import app
from tracker.config import Settings
from tracker.db import migrate
from tracker.embedded.backup import backup, restore
from tracker.embedded.servers import EmbeddedServers, write_servers_file
from tracker.errors import ConflictError, EmbeddedError, InputError, TrackerError


@pytest.fixture
def base() -> Iterator[Path]:
    with passable_folder() as folder:
        yield folder


def _own(url: str, base: Path) -> Settings:
    return Settings(database_url=url, data_dir=base / "data")


def _fill(url: str, name: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("create table if not exists kept (name text)"))
        connection.execute(text("insert into kept values (:name)"), {"name": name})
    engine.dispose()


def _names(url: str) -> list[str]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(text("select name from kept order by name")).scalars().all()
    engine.dispose()
    return list(found)


def test_a_backup_of_a_running_server_replaces_what_came_after(
    postgres_url: str, base: Path
) -> None:
    settings = _own(postgres_url, base)
    file = base / "a.backup"
    _fill(postgres_url, "before")
    written = backup(settings, file)
    assert written.size == file.stat().st_size > 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes()[:5] == b"PGDMP"
    _fill(postgres_url, "after")
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("create table newer (id int)"))
    engine.dispose()

    done = restore(settings, file, replace=True)

    assert done.replaced
    assert done.revision == written.revision
    assert _names(postgres_url) == ["before"]
    again = backup(settings, base / "b.backup")  # a restored database is a whole one
    assert again.revision == written.revision
    assert restore(settings, again.file, replace=True).replaced
    assert {path.name for path in base.iterdir()} == {"a.backup", "b.backup", "data"}


def test_a_stopped_installation_is_backed_up_and_moved_to_a_new_folder(base: Path) -> None:
    old, new = Settings(data_dir=base / "old"), Settings(data_dir=base / "new")
    servers = EmbeddedServers(old.data_dir, with_valkey=False)
    with servers as urls:
        migrate.upgrade(urls.database_url)
        _fill(urls.database_url, "moved")
        # beside the running server: its address is read from the servers file
        write_servers_file(old.servers_file, urls, api="", pid=1)
        running = backup(old, base / "running.backup")
        with pytest.raises(EmbeddedError, match="in use by embedded servers"):
            restore(old, running.file, replace=True)
    old.servers_file.unlink()
    stopped = backup(old, base / "stopped.backup")
    assert stopped.revision == running.revision

    done = restore(new, stopped.file)

    assert not done.replaced
    with EmbeddedServers(new.data_dir, with_valkey=False) as urls:
        assert _names(urls.database_url) == ["moved"]
    with pytest.raises(ConflictError, match="--replace"):
        restore(new, stopped.file)
    assert not list((base / "new" / "run" / "pids").iterdir())


def test_a_damaged_backup_changes_nothing(postgres_url: str, base: Path) -> None:
    settings = _own(postgres_url, base)
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("create table kept (name text)"))
        connection.execute(
            text("insert into kept select md5(i::text) from generate_series(1, 20000) i")
        )
    engine.dispose()
    file = backup(settings, base / "a.backup").file
    before = _names(postgres_url)
    whole = file.read_bytes()
    for cut in (3, 200, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:cut])
        with pytest.raises(TrackerError) as caught:
            restore(settings, file, replace=True)
        assert caught.value.field == "FILE"
        assert _names(postgres_url) == before


def test_restore_refuses_what_is_no_backup_of_a_tracker(postgres_url: str, base: Path) -> None:
    settings = _own(postgres_url, base)
    with pytest.raises(InputError, match="No such file"):
        restore(settings, base / "absent")
    (base / "text").write_text("hello")
    with pytest.raises(InputError, match="no backup"):
        restore(settings, base / "text")
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = 'from_the_future'"))
    engine.dispose()
    newer = backup(settings, base / "newer").file
    with pytest.raises(InputError, match="from_the_future"):
        restore(settings, newer, replace=True)
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("drop table alembic_version"))
    engine.dispose()
    with pytest.raises(InputError, match="no schema revision"):
        backup(settings, base / "other")
    assert {path.name for path in base.iterdir()} == {"text", "newer", "data"}


def test_a_backup_from_a_newer_postgresql_is_refused(
    postgres_url: str, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _own(postgres_url, base)
    file = backup(settings, base / "a.backup").file
    monkeypatch.setattr("tracker.embedded.archive.postgres_major", lambda: 17)
    with pytest.raises(InputError, match="newer than the bundled 17"):
        restore(settings, file, replace=True)


def test_backup_never_clobbers_a_file_that_is_no_backup(postgres_url: str, base: Path) -> None:
    settings = _own(postgres_url, base)
    (base / "notes").write_text("dear diary")
    with pytest.raises(InputError, match="is no backup"):
        backup(settings, base / "notes")
    assert (base / "notes").read_text() == "dear diary"
    with pytest.raises(InputError, match="folder is missing"):
        backup(settings, base / "absent" / "file")
    first = backup(settings, base / "a.backup")
    assert backup(settings, first.file).file == first.file


def test_a_failed_backup_leaves_the_older_one_and_no_secret(base: Path, postgres_url: str) -> None:
    file = backup(_own(postgres_url, base), base / "a.backup").file
    before = file.read_bytes()
    wrong = postgres_url.replace("tracker:", "tracker:hunter2")
    with pytest.raises(EmbeddedError, match="password authentication failed") as caught:
        backup(_own(wrong, base), file)
    assert "hunter2" not in str(caught.value)
    assert file.read_bytes() == before
    assert {path.name for path in base.iterdir()} == {"a.backup"}


def test_nothing_to_back_up_is_said(base: Path) -> None:
    with pytest.raises(EmbeddedError, match="no installation"):
        backup(Settings(data_dir=base / "data"), base / "a.backup")


def test_a_snapshot_is_taken_while_somebody_writes(postgres_url: str, base: Path) -> None:
    settings = _own(postgres_url, base)
    _fill(postgres_url, "first")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            _fill(postgres_url, "more")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        file = backup(settings, base / "a.backup").file
    finally:
        stop.set()
        writer.join()
    restore(settings, file, replace=True)
    assert "first" in _names(postgres_url)


def test_the_commands_print_json_and_refuse_with_field_and_mend(
    postgres_url: str, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_DATABASE_URL", postgres_url)
    monkeypatch.setenv("TRACKER_DATA_DIR", str(base / "data"))
    file = str(base / "a.backup")
    run = CliRunner()

    done = run.invoke(app, ["backup", file, "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["file"] == file
    refused = run.invoke(app, ["restore", file])
    assert isinstance(refused.exception, ConflictError)
    assert refused.exception.field == "--replace"
    assert refused.exception.mend
    replaced = run.invoke(app, ["restore", file, "--replace", "--json"])
    assert replaced.exit_code == 0
    assert json.loads(replaced.stdout)["replaced"] is True
