"""The embedded PostgreSQL and Valkey, from the wheels, for real."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from kombu import Connection
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from tests.folders import passable_folder
from tests.servers import redis_client
from tracker.embedded.servers import (
    EmbeddedServers,
    ServerUrls,
    read_servers_file,
    write_servers_file,
)
from tracker.errors import EmbeddedError


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    with passable_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def pair(base: Path) -> Iterator[tuple[EmbeddedServers, ServerUrls]]:
    servers = EmbeddedServers(base / "shared", durable=False)
    yield servers, servers.start()
    servers.stop()


def _ask(url: str, question: str) -> object:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return connection.execute(text(question)).scalar()
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server_encoding", "UTF8"),
        ("lc_collate", "C"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("unix_socket_permissions", "0700"),
    ],
)
def test_the_cluster_is_as_we_want_it(
    pair: tuple[EmbeddedServers, ServerUrls], setting: str, value: str
) -> None:
    question = (
        "select datcollate from pg_database where datname = current_database()"
        if setting == "lc_collate"
        else f"show {setting}"
    )
    assert _ask(pair[1].database_url, question) == value


def test_a_wrong_password_is_refused_by_both(pair: tuple[EmbeddedServers, ServerUrls]) -> None:
    urls = pair[1]
    password = urls.database_url.split("://tracker:")[1].split("@")[0]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            urls.database_url.replace("+psycopg", "").replace(password, "wrong"), connect_timeout=5
        )
    password = urls.redis_url.split("://:")[1].split("@")[0]
    with (
        redis_client(urls.redis_url.replace(password, "wrong")) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_valkey_keeps_doorbells_on_disk_and_never_drops_them(
    pair: tuple[EmbeddedServers, ServerUrls],
) -> None:
    with redis_client(pair[1].redis_url) as client:
        found = client.config_get("appendonly", "maxmemory-policy", "port")
    assert found == {"appendonly": "yes", "maxmemory-policy": "noeviction", "port": "0"}


def test_celerys_transport_speaks_over_the_socket(
    pair: tuple[EmbeddedServers, ServerUrls],
) -> None:
    with Connection(pair[1].redis_url) as connection:
        queue = connection.SimpleQueue("a-queue")
        queue.put({"ring": 1})
        assert queue.get(timeout=5).payload == {"ring": 1}
        queue.close()


def test_secrets_are_private_and_not_on_a_command_line(
    pair: tuple[EmbeddedServers, ServerUrls],
) -> None:
    servers, urls = pair
    for name in ("postgres.password", "valkey.password"):
        path = servers.folder.root / name
        secret = path.read_text().strip()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert secret in urls.database_url + urls.redis_url
        for supervised in servers.supervised:
            assert secret not in " ".join(supervised.child.argv)
            assert secret not in repr(supervised.child)


def test_the_folder_cannot_be_used_twice_at_once(
    pair: tuple[EmbeddedServers, ServerUrls],
) -> None:
    with pytest.raises(EmbeddedError, match=f"embedded servers, process {os.getpid()}"):
        EmbeddedServers(pair[0].folder.root).start()


def test_a_second_start_goes_on_beside_another_installation(
    base: Path, pair: tuple[EmbeddedServers, ServerUrls]
) -> None:
    with EmbeddedServers(base / "kept") as urls:
        assert urls != pair[1]
        _write(urls.database_url)
        with redis_client(urls.redis_url) as client:
            client.set("ring", 1)
    with EmbeddedServers(base / "kept") as again:
        assert again == urls
        assert _ask(again.database_url, "select id from kept") == 7
        with redis_client(again.redis_url) as client:
            assert client.get("ring") == b"1"
    assert not list((base / "kept" / "run" / "pids").iterdir())


def test_an_own_server_is_used_and_its_embedded_one_left_out(
    base: Path, pair: tuple[EmbeddedServers, ServerUrls]
) -> None:
    own = pair[1].database_url
    servers = EmbeddedServers(base / "half", database_url=own)
    with servers as urls:
        assert urls.database_url == own
        assert [one.child.name for one in servers.supervised] == ["valkey"]
        assert not servers.folder.postgres.exists()
    servers = EmbeddedServers(base / "none", database_url=own, redis_url="redis://127.0.0.1/0")
    with servers as urls:
        assert urls == ServerUrls(own, "redis://127.0.0.1/0")
        assert servers.supervised == []


@pytest.mark.parametrize("victim", ["postgres", "valkey"])
def test_a_killed_server_comes_back_at_the_same_address_with_its_data(
    base: Path, victim: str
) -> None:
    servers = EmbeddedServers(base / f"killed-{victim}")
    with servers as urls:
        _write(urls.database_url)
        with redis_client(urls.redis_url) as client:
            client.set("ring", 1)
            client.execute_command("WAITAOF", 1, 0, 5000)
        dead = next(one for one in servers.supervised if one.child.name == victim)
        pid = dead.state.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

        def answers() -> bool:
            for one in servers.supervised:
                one.tick()
            try:
                with redis_client(urls.redis_url) as client:
                    return (
                        dead.state.pid not in (None, pid)
                        and _ask(urls.database_url, "select id from kept") == 7
                        and client.get("ring") == b"1"
                    )
            except (redis.ConnectionError, OperationalError) as error:
                last.append(error)
            return False

        last: list[Exception] = []
        deadline = time.monotonic() + 30
        while not answers():
            assert time.monotonic() < deadline, last[-1:]
            time.sleep(0.05)
        assert dead.state.restarts == 1
        assert dead.state.last_end == "signal 9"


def test_a_cluster_of_another_major_version_is_not_touched(base: Path) -> None:
    with EmbeddedServers(base / "old"):
        pass
    version = base / "old" / "postgres" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(EmbeddedError, match="PostgreSQL 17") as caught:
        EmbeddedServers(base / "old").start()
    assert "tracker restore" in str(caught.value.mend)
    version.write_text("18\n")
    with EmbeddedServers(base / "old"):
        pass


def test_a_server_that_cannot_start_says_why_and_leaves_nothing_running(base: Path) -> None:
    with EmbeddedServers(base / "broken"):
        pass
    control = base / "broken" / "postgres" / "global" / "pg_control"
    control.rename(control.with_name("moved"))
    servers = EmbeddedServers(base / "broken")
    with pytest.raises(EmbeddedError, match="pg_control"):
        servers.start()
    assert servers.supervised == []
    assert not list((base / "broken" / "run" / "pids").iterdir())


def test_a_lost_password_file_is_named(base: Path) -> None:
    with EmbeddedServers(base / "lost"):
        pass
    (base / "lost" / "postgres.password").unlink()
    with pytest.raises(EmbeddedError, match=r"postgres\.password"):
        EmbeddedServers(base / "lost").start()


def test_the_servers_file_is_private_and_read_back(tmp_path: Path) -> None:
    urls = ServerUrls("postgresql+psycopg://x", "redis+socket://y")
    path = tmp_path / "servers.json"
    write_servers_file(path, urls, api="http://127.0.0.1:1", pid=7)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_servers_file(path) == urls
    path.write_text("{}")
    with pytest.raises(EmbeddedError, match="ready"):
        read_servers_file(path)


def _write(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("create table kept (id int)"))
        connection.execute(text("insert into kept values (7)"))
    engine.dispose()
