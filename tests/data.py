"""Where the recorded data is: the folder `shared/data` beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared_data() -> Path:
    """The folder of recorded data. Without it a test is skipped, or fails where CI=true."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        reason = "the recorded data (../shared/data) is not beside this repository"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
