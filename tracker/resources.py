"""Where the files that ship with the package are: beside it in a wheel, above it in a checkout."""

from __future__ import annotations

from pathlib import Path

from tracker.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The shipped folder `name`: `tracker/_shipped/NAME` in a wheel, else the checkout's own.

    Raises `ConfigError` where neither is there, which means a broken installation.
    """
    for candidate in (_PACKAGE / "_shipped" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise ConfigError(
        "a folder of the installation is missing",
        field="package data",
        value=name,
        mend="install the wheel again",
    )
