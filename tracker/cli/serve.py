"""`tracker api`: the HTTP API and the page in one process."""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from tracker.config import Settings
from tracker.errors import ConfigError

# Longer than a slow request, shorter than a supervisor's patience; streams end at once.
_GRACE_SECONDS = 5
_LOOK_SECONDS = 0.02


def api(
    after: Annotated[
        Path | None, typer.Option(help="Listen only once this file is there.", hidden=True)
    ] = None,
) -> None:
    """Serve the HTTP API and the page until Ctrl-C or SIGTERM."""
    # Looking for garbage among modules, which stay for good, is a fifth of the time to import them.
    gc.disable()
    import uvicorn

    from tracker import bootstrap, config, log
    from tracker.dashboard.site import create_site

    gc.freeze()
    gc.enable()
    settings = config.load()
    settings = settings.model_copy(
        update={
            "database_url": bootstrap.database_url(settings),
            "redis_url": bootstrap.redis_url(settings),
        }
    )
    log.configure(settings.log_level, json=settings.log_json)
    services = bootstrap.build(settings)
    site = create_site(services)
    if after is not None:
        _wait_for(after)
    listener = listen(settings)
    server = uvicorn.Server(
        uvicorn.Config(
            site,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_keep_alive=30,
        )
    )

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn raises the signal again once it has shut down; being asked to end is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    log.get_logger("api").info("api_listening", host=settings.host, port=settings.port)
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()
        services.database.dispose()
    if not server.started:
        raise typer.Exit(1)


def _wait_for(file: Path) -> None:
    """Return once `file` is there. Raises `Exit` where whoever started this process is gone."""
    parent = os.getppid()
    while not file.exists():
        if os.getppid() != parent:
            raise typer.Exit(1)
        time.sleep(_LOOK_SECONDS)


def listen(settings: Settings) -> socket.socket:
    """A socket bound to the settings' address. Raises `ConfigError` naming the setting."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                "the port is taken by another program",
                field="TRACKER_PORT",
                value=settings.port,
                mend="stop that program, or set TRACKER_PORT to a free port",
            ) from error
        raise ConfigError(
            f"cannot listen there: {error.strerror}",
            field="TRACKER_HOST and TRACKER_PORT",
            value=f"{settings.host} {settings.port}",
            mend="set them to an address of this machine and a port above 1023",
        ) from error
    return listener
