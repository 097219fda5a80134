"""The documents: links lead somewhere, commands and settings exist, nothing local leaked."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.data import ROOT
from tracker.cli.main import app
from tracker.config import Settings

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
_CODE = re.compile(r"```[a-z]*\n(.*?)```|`([^`\n]+)`", re.DOTALL)


def _commands(text: str) -> list[list[str]]:
    """Every `tracker …` in code, as words; up to a pipe, a comment or an ellipsis."""
    found = []
    for block, span in _CODE.findall(text):
        for line in (block or span).splitlines():
            match = re.match(r"\s*(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?tracker (.+)", line)
            if match is None or "…" in match[1].split(" ")[0]:
                continue
            words = shlex.split(re.split(r"\s#|\s…|\\\||\[", match[1])[0], comments=True)
            found.append(words)
    return found


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_and_their_options_exist(page: Path) -> None:
    root: Any = typer.main.get_command(app)
    for words in _commands(page.read_text()):
        if words[0] == "COMMAND":  # a placeholder for any of them
            continue
        command, rest = root, list(words)
        context = root.context_class(root, info_name="tracker")
        while hasattr(command, "resolve_command") and rest and not rest[0].startswith("-"):
            name, command, rest = command.resolve_command(context, rest)  # raises if unknown
            context = command.context_class(command, info_name=name, parent=context)
        known = {opt for param in command.params for opt in (*param.opts, *param.secondary_opts)}
        for word in rest:
            if word.startswith("--"):
                assert word.split("=")[0] in known | {"--help", "--version"}, (page.name, words)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_settings_that_are_named_exist(page: Path) -> None:
    others = {"CONFIG", "DEBUG", "API_URL", "API_KEY", "LISTEN_SECRET"}
    known = {name.upper() for name in Settings.model_fields} | others
    for name in re.findall(r"\bTRACKER_([A-Z][A-Z_]*[A-Z])\b", page.read_text()):
        assert name in known, f"TRACKER_{name}"


def test_nothing_of_this_machine_or_of_a_registry_is_written_anywhere() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    banned = re.compile(
        "|".join(("py" + "pi.org", "python" + "hosted", "npm" + "js.", "deb." + "debian.org"))
    )
    for name in filter(None, listed):
        file = ROOT / name
        if file.suffix in {".gz", ".png", ".svg"} or not file.is_file():
            continue
        assert not banned.search(file.read_text(encoding="utf-8", errors="replace")), name
