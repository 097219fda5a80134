"""How the dump program is called: with what everybody may read, and with what nobody may."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tracker.embedded import archive


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://owner:hunter2@host:5433/base?sslmode=require",
        "postgresql+psycopg:///base?host=/run/pg&user=owner&password=hunter2",
    ],
)
def test_the_password_is_not_on_the_command_line(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[list[str], Mapping[str, str]]] = []

    def run(
        arguments: list[str], *, env: Mapping[str, str], **_: object
    ) -> subprocess.CompletedProcess[bytes]:
        called.append((arguments, env))
        return subprocess.CompletedProcess(arguments, 0)

    monkeypatch.setattr("tracker.embedded.archive.subprocess.run", run)
    archive.dump(url, tmp_path / "file")
    ((arguments, environment),) = called
    assert any("base" in argument and "owner" in argument for argument in arguments)
    assert not any("hunter2" in argument for argument in arguments)
    assert environment["PGPASSWORD"] == "hunter2"
