"""The client that commands share, and where they read files from."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

from tracker.cli.client import ApiClient
from tracker.errors import InputError

MAX_FILE = 50_000_000  # bytes, as the API takes them


def client() -> ApiClient:
    """A client of the service that the settings name."""
    from tracker import config

    return ApiClient(config.load())


def read_file(path: Path) -> bytes:
    """The bytes of a file, or of standard input for `-`. Raises `InputError`."""
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(MAX_FILE + 1)
        else:
            with path.open("rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise InputError(
                        "not a file", field="FILE", value=path, mend="name a file, or - for stdin"
                    )
                content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise InputError(
            f"the file cannot be read: {error.strerror}",
            field="FILE",
            value=path,
            mend="check its name and its rights",
        ) from error
    if len(content) > MAX_FILE:
        raise InputError(
            f"the file is larger than {MAX_FILE} bytes",
            field="FILE",
            value=path,
            mend="split it and import the parts one after another",
        )
    return content


def upload_rows(path: str, file: Path, form: str | None, *, dry_run: bool = False) -> Any:
    """The API's report on the rows of `file`, CSV or JSON by `form` or else by its name.

    Raises as `read_file` and the client do.
    """
    chosen = form or ("json" if file.suffix.lower() == ".json" else "csv")
    return client().upload(
        path,
        read_file(file),
        "application/json" if chosen == "json" else "text/csv",
        format=chosen,
        dry_run="true" if dry_run else None,
    )
