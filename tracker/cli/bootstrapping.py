"""Waiting until what new wallets hold has been read from the chain."""

from __future__ import annotations

import sys
import time
from typing import Any

import typer

from tracker.cli.client import ApiClient, segment
from tracker.errors import NotFoundError, SourceUnavailableError

LOOK_SECONDS = 1.0
# A node's scan of all unspent outputs takes minutes.
MOST_SECONDS = 3600.0


def await_wallet(service: ApiClient, made: dict[str, Any]) -> Any:
    """The wallet once it is opened, or once it is known why it cannot be."""

    def look() -> tuple[Any, int, int]:
        path = f"/v1/entities/{segment(made['entity'])}/wallets"
        for item in service.all_items(path)["items"]:
            if (item["chain"], item["address"]) == (made["chain"], made["address"]):
                return item, int(item["state"] != "bootstrapping"), 1
        raise NotFoundError(
            "the wallet was removed meanwhile", field="address", value=made["address"],
            mend="list them: `tracker wallets list`",
        )  # fmt: skip

    return _await(look)


def await_descriptor(service: ApiClient, made: dict[str, Any]) -> Any:
    """The descriptor once every address up to the gap is opened, or known not to be."""

    def look() -> tuple[Any, int, int]:
        item = service.get(f"/v1/descriptors/{made['id']}")
        return item, item["opened"] + item["refused"], item["wallets"]

    return _await(look)


def opened(item: dict[str, Any]) -> str:
    """How an awaited wallet or descriptor ended, in a sentence."""
    if item["state"] == "bootstrapping":
        return "bootstrapping: what it holds is read from the chain now (--wait waits for it)"
    if item["state"] == "open":
        return "opened: what it holds is known"
    why = item.get("opening_note") or item.get("reason") or "no source can tell what it held"
    return f"not opened: {why}"


def _await(look: Any) -> Any:
    started = time.monotonic()
    drawn = sys.stderr.isatty()
    try:
        while True:
            item, done, total = look()
            if done >= total:
                return item
            waited = time.monotonic() - started
            if waited >= MOST_SECONDS:
                raise SourceUnavailableError(
                    "what it holds was not read in time", field="--wait", value=f"{waited:.0f} s",
                    mend="see `tracker doctor`; it is read still",
                )  # fmt: skip
            if drawn:
                told = f"\rbootstrapping, {done} of {total} addresses, {waited:.0f} s …"
                typer.echo(told, nl=False, err=True)
            time.sleep(LOOK_SECONDS)
    finally:
        if drawn:
            typer.echo("\r" + " " * 60 + "\r", nl=False, err=True)
