"""`tracker up`: the whole service on one machine, started, watched and stopped as one."""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from tracker.config import Settings
from tracker.embedded.child import Child
from tracker.embedded.fleet import fleet
from tracker.embedded.folder import DataFolder
from tracker.embedded.health import Health, HealthProbe
from tracker.embedded.servers import EmbeddedServers, ServerUrls, write_servers_file
from tracker.embedded.status import Display, Status, display
from tracker.embedded.supervised import Supervised, stop_all
from tracker.errors import EmbeddedError

_TICK_SECONDS = 0.2
_HEAD_START_SECONDS = 4.0
_LOOK_SECONDS = 5.0  # between two questions to a ready API
_FIRST_LOOK_SECONDS = 0.2  # while it is not ready yet

Fleet = Callable[[Settings, DataFolder, ServerUrls], Sequence[Child]]
Prepare = Callable[[Settings], None]


def run(
    settings: Settings,
    *,
    children: Fleet = fleet,
    prepare: Prepare | None = None,
    console: Console | None = None,
    as_json: bool = False,
) -> int:
    """Run the service until SIGINT, SIGTERM or SIGHUP; return the exit code, 0 for a clean stop.

    `prepare` gets the settings with the servers' addresses before the children start; by default
    it migrates the database and takes the first-start step. Must run in the main thread.
    Raises `EmbeddedError` where the service cannot start; then nothing is left running.
    """
    shown = display(console or Console(), as_json=as_json)
    servers = EmbeddedServers(
        settings.data_dir, database_url=settings.database_url, redis_url=settings.redis_url
    )
    stop = threading.Event()
    with _stop_signals(stop):
        reaped = servers.claim(f"tracker up on port {settings.port}")
        crew: list[Supervised] = []

        def begin(urls: ServerUrls) -> None:
            wired = _wired(settings, urls)
            crew.extend(
                Supervised(child, servers.folder) for child in children(wired, servers.folder, urls)
            )
            # The API takes longest to import: it does so while the servers start.
            crew[0].start()

        try:
            if reaped:
                shown.say("reaped", f"stopped what a crash left running: {', '.join(reaped)}")
            check_port(settings.host, settings.port)
            # Left by a crash, it would tell the API that the servers are there.
            settings.servers_file.unlink(missing_ok=True)
            shown.say("starting", _greeting(settings, servers))
            urls = servers.start(begin)
            wired = _wired(settings, urls)
            if not stop.is_set():
                (prepare or prepare_database)(wired)
            probe = HealthProbe(wired)
            write_servers_file(wired.servers_file, urls, api=probe.address, pid=os.getpid())
            with shown:
                _watch(stop, crew, servers.supervised, probe, wired, shown)
                shown.say("stopping", "stopping, workers first")
        finally:
            stop_all(crew)
            settings.servers_file.unlink(missing_ok=True)
            servers.stop()
    shown.say("stopped", "stopped; the data stays")
    return 0


def _wired(settings: Settings, urls: ServerUrls) -> Settings:
    return settings.model_copy(
        update={"database_url": urls.database_url, "redis_url": urls.redis_url}
    )


def _greeting(settings: Settings, servers: EmbeddedServers) -> str:
    folder = servers.folder
    if settings.database_url or folder.postgres.exists():
        return f"starting; data in {folder.root}"
    return f"first start: making the database in {folder.root}"


def prepare_database(settings: Settings) -> None:
    """Bring the database to the newest schema and take the first-start step."""
    # Modules and tens of thousands of rows make no garbage that is worth looking for.
    gc.disable()
    try:
        from tracker import bootstrap
        from tracker.db import migrate

        migrate.upgrade(settings.database_url)
        bootstrap.first_start(settings)
    finally:
        gc.enable()


def check_port(host: str, port: int) -> None:
    """Raise `EmbeddedError` naming port and mend where the API could not listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise EmbeddedError(
                    "the port is taken by another program",
                    field="TRACKER_PORT",
                    value=port,
                    mend="stop that program, or set TRACKER_PORT to a free port",
                ) from error
            raise EmbeddedError(
                f"the API cannot listen there: {error.strerror}",
                field="TRACKER_HOST and TRACKER_PORT",
                value=f"{host} {port}",
                mend="set them to an address of this machine and a port above 1023",
            ) from error


def _watch(
    stop: threading.Event,
    fleet_children: Sequence[Supervised],
    servers: Sequence[Supervised],
    probe: HealthProbe,
    settings: Settings,
    shown: Display,
) -> None:
    """Start the rest of the fleet and keep everything running until `stop` is set."""
    running = [*servers, *fleet_children[:1]]
    waiting = [*fleet_children[1:]]
    health, was_ready, next_look = Health(False, None, None), False, 0.0
    # Two cores import one program faster than five: the first child, the API, answers first.
    head_start = time.monotonic() + _HEAD_START_SECONDS
    while not stop.wait(_TICK_SECONDS):
        if waiting and (health.ready or time.monotonic() > head_start):
            for child in waiting:
                child.start()
            running += waiting
            waiting.clear()
        for child in running:
            child.tick()
        if time.monotonic() >= next_look:
            health = probe.look()
            next_look = time.monotonic() + (_LOOK_SECONDS if health.ready else _FIRST_LOOK_SECONDS)
        shown.show(
            Status(
                address=probe.address,
                key_file=settings.key_file,
                children=tuple(child.state for child in (*servers, *fleet_children)),
                health=health,
            )
        )
        if health.ready and not waiting and not was_ready:
            was_ready = True
            shown.say("key", f"key for writes: in {settings.key_file}")
            shown.say("ready", f"ready: {probe.address}")


@contextmanager
def _stop_signals(stop: threading.Event) -> Iterator[None]:
    """Set `stop` at the signals that ask a foreground program to end.

    SIGHUP stays ignored where it was (nohup). A second signal changes nothing: the stop under way
    is bounded in time already.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
