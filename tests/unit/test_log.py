"""Logs: secrets never, and libraries' errors too."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.data import ROOT
from tracker.log import mask

_SAY = """
import logging
from tracker import log
log.configure("INFO", json={json})
found = log.get_logger("part")
found.info("seen", urls=["https://user:hunter2@host/x"], error=ValueError("whsec_hunter2hunter2"))
try:
    raise RuntimeError("amqp://u:hunter2@host")
except RuntimeError:
    logging.getLogger("library").exception("failed at %s", "redis://:hunter2@host")
    found.warning("failed", exc_info=True)
logging.getLogger("library").info("chatter")
"""


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("redis://:pw@host/0", "redis://:***@host/0"),
        ("core+http://user:p@ss@host:8332", "core+http://user:***@host:8332"),
        ("postgresql://user:a/b@host/db", "postgresql://user:***@host/db"),
        ("at http://u:p@a, then http://v:q@b", "at http://u:***@a, then http://v:***@b"),
        ("key ttk_abcdefghij.", "key ttk_***."),
        ("whsec_MfKQ9r8GKYqrTwjU+/=", "whsec_***"),
        ("http://127.0.0.1:8321/v1", "http://127.0.0.1:8321/v1"),
        ("12:30 mail@example.org", "12:30 mail@example.org"),
    ],
)
def test_what_is_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize("json", [True, False])
def test_no_field_traceback_or_library_shows_a_secret(json: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SAY.format(json=json)],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout == ""
    for said in ("user:***@host", "whsec_***", "failed at redis://:***@host", "u:***@host"):
        assert said in done.stderr
    assert done.stderr.count("RuntimeError") >= 2
    assert "hunter2" not in done.stderr
    assert "chatter" not in done.stderr
