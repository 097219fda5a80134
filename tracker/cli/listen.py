"""`tracker listen`: a local receiver that verifies signatures, shows events and forwards them."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated, Any, Protocol

import typer

from tracker import config, signing
from tracker.errors import InputError
from tracker.webhooks.inbox import Inbox, check_forward
from tracker.webhooks.show import show_json, show_pretty


class Api(Protocol):
    """The part of the local HTTP API's client that registering needs."""

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON that answers a POST."""

    def delete(self, path: str) -> Any:
        """The JSON that answers a DELETE."""


def listen(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 lets the system give one.")
    ] = 0,
    secret: Annotated[
        str,
        typer.Option(
            envvar="TRACKER_LISTEN_SECRET",
            show_envvar=True,
            show_default=False,
            help="whsec_… of an endpoint that is registered already.",
        ),
    ] = "",
    register: Annotated[
        bool,
        typer.Option(
            "--register",
            help="Register at the running service until the end (what happens without --secret).",
        ),
    ] = False,
    forward_to: Annotated[
        str, typer.Option(show_default=False, help="POST every verified event to this URL too.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    once: Annotated[bool, typer.Option("--once", help="End after one verified event.")] = False,
) -> None:
    """Receive webhooks here: verify, show, and forward them to a handler of yours."""
    if secret and register:
        raise InputError(
            "two ways to a secret",
            field="--register",
            mend="give --secret for a registered endpoint, or --register for a new one",
        )
    secrets = [signing.check_secret(secret)] if secret else []
    inbox = Inbox(
        port,
        secrets,
        show=show_json if as_json else show_pretty,
        forward_to=check_forward(forward_to) if forward_to else None,
        once=once,
    )
    with inbox, _until_signalled(inbox.done):
        typer.echo(f"listening on {inbox.url}", err=True)
        with nullcontext() if secret else _registered(_client(), inbox):
            inbox.done.wait()


@contextmanager
def _registered(api: Api, inbox: Inbox) -> Iterator[None]:
    """An endpoint of the running service that lives as long as the block."""
    made = api.post(
        "/v1/webhooks",
        {"url": inbox.url, "allow_hosts": [inbox.host], "description": "tracker listen"},
    )
    inbox.trust(made["secret"])
    typer.echo(f"registered as {made['id']} until this ends", err=True)
    try:
        yield
    finally:
        api.delete(f"/v1/webhooks/{made['id']}")
        typer.echo(f"removed {made['id']}", err=True)


def _client() -> Api:
    from tracker.cli.client import ApiClient

    return ApiClient(config.current())


@contextmanager
def _until_signalled(done: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM end the wait in order, so that the endpoint is removed."""
    before = {
        number: signal.signal(number, lambda *_: done.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.stdout.flush()
