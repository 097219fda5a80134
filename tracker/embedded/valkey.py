"""The embedded Valkey: the doorbell's broker, on a Unix socket, behind a password."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from tracker.embedded import logfile
from tracker.embedded.child import Child
from tracker.embedded.folder import DataFolder, secret, write_private
from tracker.embedded.programs import Programs
from tracker.errors import EmbeddedError

NAME = "valkey"
_READY_SECONDS = 60.0  # a large append-only file is loaded first
_LOOK_SECONDS = 0.02
_DATABASES = 256  # numbered, a few bytes each; parallel test runs take one each


class Valkey:
    """Writes the configuration, describes the server's process, and says when it answers."""

    def __init__(self, folder: DataFolder, programs: Programs, sockets: Path) -> None:
        self._folder = folder
        self._programs = programs
        self._socket = sockets / "valkey.sock"
        self._password = ""

    @property
    def url(self) -> str:
        """Celery's form of the address, with its password; `prepare` comes first."""
        return f"redis+socket://:{self._password}@{self._socket}?virtual_host=0"

    def prepare(self) -> None:
        """Make the folder and the configuration, which holds the password (mode 0600).

        The password stays out of the command line, which every user of the machine can read.
        """
        self._password = secret(self._folder.root / "valkey.password")
        self._folder.make_server_folder(self._folder.valkey)
        write_private(self._configuration, self._text())
        self._folder.give_to_server(self._configuration)

    def child(self) -> Child:
        """The server's process; its command line stays as given, so that it can be recognised."""
        return Child(
            name=NAME,
            argv=(str(self._programs.valkey_server), str(self._configuration)),
            environment={"PATH": "/usr/bin:/bin", "LANG": "C", "TZ": "UTC"},
            stop=((signal.SIGTERM, 5.0),),
            stop_order=1,
            uid=self._folder.server_uid,
            directory="/",
        )

    def wait_ready(self, alive: Callable[[], bool]) -> None:
        """Return when it answers; raises `EmbeddedError` with the log's end if it dies."""
        deadline = time.monotonic() + _READY_SECONDS
        while not self._answers():
            if not alive() or time.monotonic() >= deadline:
                log = self._folder.log_of(NAME)
                raise EmbeddedError(
                    f"the embedded Valkey does not answer: {logfile.tail(log)}",
                    field="log",
                    value=log,
                    mend="read the log; free disk space or memory if that is what it says",
                )
            time.sleep(_LOOK_SECONDS)

    @property
    def _configuration(self) -> Path:
        return self._folder.valkey / "valkey.conf"

    def _text(self) -> str:
        lines = (
            ("port", "0"),
            ("unixsocket", _quoted(self._socket)),
            ("unixsocketperm", "700"),
            ("dir", _quoted(self._folder.valkey)),
            ("requirepass", self._password),
            ("databases", str(_DATABASES)),
            ("appendonly", "yes"),
            ("save", '""'),
            # A broker that evicts would drop doorbells silently; refusing a write is an error seen.
            ("maxmemory-policy", "noeviction"),
            ("daemonize", "no"),
            ("set-proc-title", "no"),
        )
        return "".join(f"{name} {value}\n" for name, value in lines)

    def _answers(self) -> bool:
        """True when PING is answered by PONG (the inline form of the Redis protocol)."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(2.0)
                client.connect(os.fspath(self._socket))
                client.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                reply = b""
                while reply.count(b"\r\n") < 2 and (part := client.recv(512)):
                    reply += part
        except OSError:
            return False
        return reply == b"+OK\r\n+PONG\r\n"


def _quoted(path: Path) -> str:
    """A path as the configuration's grammar wants it: its quoting and escapes are those of JSON."""
    return json.dumps(os.fspath(path), ensure_ascii=False)
