"""Bearer keys and source states on a real database."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta

import pytest

from tracker.config import Settings
from tracker.db import Database
from tracker.errors import AuthError, ConfigError, ConflictError, InputError, NotFoundError
from tracker.operations import keys, repository

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def database(postgres_url):
    database = Database(postgres_url)
    yield database
    database.dispose()


def test_a_key_is_stored_as_its_digest_only(database):
    with database.transaction() as session:
        key = keys.create(session, "analyst", ["read"], NOW)
        (row,) = keys.list_all(session)
        assert key.startswith("ttk_")
        assert len(key) >= 4 + 43  # 32 bytes
        assert row.digest == keys.digest(key)
        assert key not in repr(row)
        assert keys.authenticate(session, key).name == "analyst"


def test_two_keys_differ(database):
    with database.transaction() as session:
        assert keys.create(session, "a", ["read"], NOW) != keys.create(session, "a", ["read"], NOW)


@pytest.mark.parametrize(
    ("name", "scopes", "field"),
    [("", ["read"], "name"), (" ", ["read"], "name"), ("x" * 101, ["read"], "name"),
     ("x", [], "scopes"), ("x", ["admin"], "scopes")],
)  # fmt: skip
def test_bad_keys_are_refused(database, name, scopes, field):
    with database.transaction() as session, pytest.raises(InputError) as refused:
        keys.create(session, name, scopes, NOW)
    assert refused.value.field == field


@pytest.mark.parametrize("offered", [None, "", "ttk_", "ttk_" + "a" * 43, "\x00", "é" * 500])
def test_other_texts_are_not_keys(database, offered):
    with database.transaction() as session:
        keys.create(session, "x", ["read"], NOW)
        with pytest.raises(AuthError):
            keys.authenticate(session, offered)


def test_revoking_twice_keeps_the_first_time_and_the_last_writer_stays(database):
    with database.transaction() as session:
        keys.create(session, "first", ["read", "write"], NOW)
        keys.create(session, "second", ["write"], NOW)
        first, second = (row.id for row in keys.list_all(session))
        keys.revoke(session, second, NOW)
        again = keys.revoke(session, second, NOW + timedelta(days=1))
        assert again.revoked_at == NOW
        with pytest.raises(ConflictError):
            keys.revoke(session, first, NOW)
        with pytest.raises(NotFoundError):
            keys.revoke(session, 999, NOW)


def test_the_admin_key_is_made_once_with_mode_0600(database, tmp_path):
    settings = Settings(data_dir=tmp_path / "new" / "folder")
    with database.transaction() as session:
        assert keys.ensure_admin_key(settings, session, NOW)
    first = settings.key_file.read_text()
    assert stat.S_IMODE(settings.key_file.stat().st_mode) == 0o600
    assert [path.name for path in settings.key_file.parent.iterdir()] == ["admin.key"]
    with database.transaction() as session:
        assert not keys.ensure_admin_key(settings, session, NOW)
        assert keys.authenticate(session, first.strip()).scopes == ["read", "write"]
    assert settings.key_file.read_text() == first


@pytest.mark.parametrize("content", [b"", b"ttk_of-another-database\n", b"\xff\xfe"])
def test_a_key_file_that_does_not_work_is_replaced(database, tmp_path, content):
    settings = Settings(data_dir=tmp_path)
    settings.key_file.write_bytes(content)
    with database.transaction() as session:
        assert keys.ensure_admin_key(settings, session, NOW)
        assert keys.authenticate(session, settings.key_file.read_text().strip())
    assert stat.S_IMODE(settings.key_file.stat().st_mode) == 0o600


def test_a_data_folder_that_cannot_be_used_is_named(database, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with database.transaction() as session, pytest.raises(ConfigError) as refused:
        keys.ensure_admin_key(Settings(data_dir=blocked), session, NOW)
    assert refused.value.field == "TRACKER_DATA_DIR"


def test_a_source_keeps_what_a_failing_try_does_not_know(database):
    ok = {"name": "esplora", "kind": "bitcoin_esplora"}
    with database.transaction() as session:
        repository.upsert_source(
            session, **ok, state="ok", now=NOW, height=900_000, latency_ms=80, last_ok=NOW
        )
        later = NOW + timedelta(minutes=1)
        repository.upsert_source(
            session, **ok, state="unreachable", now=later, last_error="timed out", next_try=later
        )
        (row,) = repository.list_sources(session)
    assert (row.state, row.height, row.last_ok) == ("unreachable", 900_000, NOW)
    assert (row.latency_ms, row.last_error, row.next_try) == (None, "timed out", later)


def test_heartbeats_keep_the_newest(database):
    with database.transaction() as session:
        repository.beat(session, "deliver", NOW)
        repository.beat(session, "deliver", NOW + timedelta(seconds=5))
        (row,) = repository.heartbeats(session)
    assert row.beat_at == NOW + timedelta(seconds=5)
