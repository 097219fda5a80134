"""Logs are bounded while their writers live."""

from __future__ import annotations

import os
from pathlib import Path

from tracker.embedded import logfile


def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "head.log"
    log.write_bytes(b"x" * 100)
    assert not logfile.rotate(log, 100)
    assert log.read_bytes() == b"x" * 100


def test_rotation_keeps_the_end_and_the_living_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "head.log"
    descriptor = logfile.open_for_child(log, 100)
    os.write(descriptor, b"a" * 150 + b"b" * 50)
    assert logfile.rotate(log, 100)
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    assert (tmp_path / "head.log.1").read_bytes() == b"a" * 50 + b"b" * 50
    assert log.read_bytes() == b"after\n"
    assert {path.name for path in tmp_path.iterdir()} == {"head.log", "head.log.1"}


def test_logs_are_for_their_owner_only(tmp_path: Path) -> None:
    log = tmp_path / "head.log"
    os.close(logfile.open_for_child(log))
    assert log.stat().st_mode & 0o777 == 0o600


def test_tail_is_bounded_and_empty_without_a_log(tmp_path: Path) -> None:
    log = tmp_path / "head.log"
    assert logfile.tail(log) == ""
    log.write_bytes(b"x" * 5000 + b"the end\n")
    assert logfile.tail(log, 20) == "x" * 12 + "the end"


def test_a_copy_that_fails_still_cuts_the_log_and_says_so(tmp_path: Path) -> None:
    log = tmp_path / "head.log"
    log.write_bytes(b"x" * 200)
    (tmp_path / "head.log.1").mkdir()  # in the way of the copy
    assert logfile.rotate(log, 100)
    assert log.read_text().startswith("[older lines were dropped: ")
    assert not (tmp_path / "head.log.part").exists()
