"""The data folder, its lock and the folder of sockets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.folders import passable_folder
from tracker.embedded import folder as folders
from tracker.embedded import sockets
from tracker.embedded.lock import FolderLock
from tracker.embedded.postgres import check_major
from tracker.errors import EmbeddedError


def test_a_folder_that_cannot_be_made_is_named_with_its_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EmbeddedError) as caught:
        folders.prepare(tmp_path / "file" / "data")
    assert caught.value.field == "TRACKER_DATA_DIR"
    assert str(tmp_path / "file" / "data") in str(caught.value.value)
    assert "TRACKER_DATA_DIR" in str(caught.value.mend)


def test_what_is_inside_is_private_and_foreign_modes_stay() -> None:
    with passable_folder() as base:
        before = stat.S_IMODE(base.stat().st_mode)
        folder = folders.prepare(base / "new" / "data")
        assert stat.S_IMODE(folder.run.stat().st_mode) == 0o700
        assert stat.S_IMODE(folder.logs.stat().st_mode) == 0o700
        assert stat.S_IMODE(base.stat().st_mode) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs the servers as itself")
def test_root_is_told_which_private_folder_shuts_the_servers_out() -> None:
    with passable_folder() as base:
        private = base / "private"
        private.mkdir(mode=0o700)
        with pytest.raises(EmbeddedError, match=f"cannot pass through {private}"):
            folders.prepare(private / "data")
        assert stat.S_IMODE(private.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_made_by_another_user_is_refused() -> None:
    with passable_folder() as base:
        folder = folders.prepare(base / "data")
        folder.postgres.mkdir()
        os.chown(folder.postgres, 12345, 12345)
        with pytest.raises(EmbeddedError, match="uid 12345"):
            folders.prepare(base / "data")


def test_a_secret_is_made_once_and_private() -> None:
    with passable_folder() as base:
        first = folders.secret(base / "password")
        assert len(first) >= 32
        assert folders.secret(base / "password") == first
        assert stat.S_IMODE((base / "password").stat().st_mode) == 0o600
        (base / "password").write_text("")
        with pytest.raises(EmbeddedError, match="empty"):
            folders.secret(base / "password")


def test_the_lock_says_who_holds_the_folder(tmp_path: Path) -> None:
    holder, other = FolderLock(tmp_path / "lock"), FolderLock(tmp_path / "lock")
    holder.take("tracker up on port 4711")
    with pytest.raises(EmbeddedError) as caught:
        other.take("tracker up on port 4712")
    assert f"tracker up on port 4711, process {os.getpid()}" in caught.value.message
    assert "TRACKER_PORT" in str(caught.value.mend)
    holder.release()
    assert other.try_take("tracker backup")
    other.release()


def test_sockets_go_to_the_first_base_that_is_short_enough() -> None:
    with passable_folder() as base:
        folder = folders.prepare(base / "data")
        long = base / ("x" * 90)
        long.mkdir()
        place = sockets.make(folder, [long, base])
        assert place.is_relative_to(base)
        assert not place.is_relative_to(long)
        assert len(str(place / ".s.PGSQL.5432")) <= sockets.MAX_PATH_BYTES
        assert sockets.make(folder, [long, base]) == place
        sockets.remove(place)
        assert not place.parent.exists()


def test_a_path_too_long_for_a_socket_is_explained() -> None:
    with passable_folder() as base:
        folder = folders.prepare(base / "data")
        long = base / ("x" * 90)
        long.mkdir()
        with pytest.raises(EmbeddedError, match=f"{sockets.MAX_PATH_BYTES} bytes") as caught:
            sockets.make(folder, [long])
        assert caught.value.field == "TMPDIR"
        assert "short" in str(caught.value.mend)


def test_a_socket_folder_of_somebody_else_is_refused() -> None:
    with passable_folder() as base:
        folder = folders.prepare(base / "data")
        place = sockets.make(folder, [base]).parent
        sockets.remove(place / "s")
        elsewhere = base / "elsewhere"
        elsewhere.mkdir()
        place.symlink_to(elsewhere)
        with pytest.raises(EmbeddedError, match="somebody else"):
            sockets.make(folder, [base])


def test_two_data_folders_have_two_socket_folders() -> None:
    with passable_folder() as base:
        one = sockets.make(folders.prepare(base / "one"), [base])
        two = sockets.make(folders.prepare(base / "two"), [base])
        assert one != two


@pytest.mark.parametrize("found", ["17", "19", ""])
def test_a_cluster_of_another_major_version_is_refused_with_the_way_over(
    tmp_path: Path, found: str
) -> None:
    (tmp_path / "PG_VERSION").write_text(found + "\n")
    with pytest.raises(EmbeddedError) as caught:
        check_major(tmp_path, 18)
    assert "tracker backup" in str(caught.value.mend)
    assert "tracker restore" in str(caught.value.mend)


def test_the_same_major_version_and_no_cluster_pass(tmp_path: Path) -> None:
    check_major(tmp_path / "absent", 18)
    (tmp_path / "PG_VERSION").write_text("18\n")
    check_major(tmp_path, 18)
