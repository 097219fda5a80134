"""The command line before any command runs: names, help, errors, and how little is imported."""

import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tests.data import ROOT
from tracker import __version__
from tracker.cli import main
from tracker.cli.client import ApiError
from tracker.cli.groups import load
from tracker.errors import ConfigError, InputError, NotFoundError, SourceUnavailableError

# The commands that the design names, as far as they exist.
DESIGNED = {
    "up", "doctor", "api", "db", "entities", "wallets", "holdings", "transfers", "mnav",
    "alerts", "webhooks", "listen", "labels", "backup", "restore", "keys", "inspect",
}  # fmt: skip


def test_the_designed_commands_are_listed_with_their_help():
    shown = CliRunner().invoke(main.app, ["--help"], terminal_width=80).output
    for name in DESIGNED:
        assert f"\n  {name} " in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


@pytest.mark.parametrize("name", sorted(main.Commands.table))
def test_every_command_can_be_loaded_and_explains_itself(name):
    module, attribute, _ = main.Commands.table[name]
    assert load(module, attribute).help


def test_the_version():
    assert CliRunner().invoke(main.app, ["--version"]).output.strip() == __version__


def test_help_imports_nothing_heavy():
    # What costs time is loading these; a clock would measure the machine instead.
    script = (
        "import sys; from tracker.cli import main\n"
        "try: main.app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'pydantic', 'sqlalchemy', 'fastapi', 'requests', 'celery', 'rich', 'alembic'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_misspelt_command_is_refused_with_a_hint():
    result = CliRunner().invoke(main.app, ["entitis"])
    assert result.exit_code == 2
    assert "entities" in result.output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("bad", field="f", value="v", mend="m"), 2),
        (NotFoundError("none"), 2),
        (ConfigError("bad setting"), 2),
        (ApiError({"detail": "no such entity"}, 404), 2),
        (ApiError({"detail": "broken"}, 500), 1),
        (SourceUnavailableError("down"), 1),
    ],
)
def test_exit_codes(error, code):
    assert main.exit_code(error) == code


def test_an_error_is_told_with_field_value_and_mend_and_without_secrets():
    error = InputError(
        "refused", field="url", value="https://name:hidden@host/", mend="use ttk_abcdefghijkl"
    )
    told = main.describe(error)
    assert told.splitlines()[0] == "error: refused"
    assert "field: url" in told
    assert "mend: use ttk_***" in told
    assert "hidden" not in told
    assert "abcdefghijkl" not in told


def test_the_manual_names_every_command_and_no_other():
    manual = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`tracker ([a-z]+)", manual))
    assert named == set(main.Commands.table)
