"""Total deadlines: a connection whose time is up is shut down under whoever waits on it."""

from __future__ import annotations

import heapq
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(order=True, slots=True)
class _Watch:
    deadline: float
    order: int
    line: socket.socket = field(compare=False)
    done: bool = field(default=False, compare=False)
    fired: bool = field(default=False, compare=False)


class Watchdog:
    """One thread that cuts connections at their deadlines.

    A time-out of a socket is for one read; a receiver that sends a byte a second never meets it.
    Shutting the socket down from outside ends TLS handshakes, headers and bodies alike.
    """

    def __init__(self) -> None:
        self._watches: list[_Watch] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="webhook-deadlines", daemon=True)
        self._thread.start()

    @contextmanager
    def watching(self, line: socket.socket, deadline: float) -> Iterator[_Watch]:
        """Shut `line` down at `deadline` (monotonic seconds) unless the block ends before.

        The yielded watch says in `fired` whether that happened.
        """
        watch = _Watch(deadline, next(self._order), line)
        with self._changed:
            heapq.heappush(self._watches, watch)
            if self._watches[0] is watch:
                self._changed.notify()
        try:
            yield watch
        finally:
            with self._changed:
                watch.done = True

    def close(self) -> None:
        """End the thread; nothing is cut after this."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                while self._watches and self._watches[0].done:
                    heapq.heappop(self._watches)
                if not self._watches:
                    self._changed.wait()
                    continue
                left = self._watches[0].deadline - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                watch = heapq.heappop(self._watches)
                watch.fired = True
                try:
                    watch.line.shutdown(socket.SHUT_RDWR)
                except OSError:
                    # Gone already: then nobody waits on it any more.
                    continue
