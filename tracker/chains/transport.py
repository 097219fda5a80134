"""HTTP connections with one deadline for the whole exchange: name, connect, TLS, headers, body.

A socket's timeout bounds a single read, so that a server which sends a byte a second is never too
late. Here the timeout that stands when an answer begins is what is left for all of it.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.poolmanager import PoolManager
from urllib3.util import Timeout
from urllib3.util.connection import create_connection


class DeadlineAdapter(HTTPAdapter):
    """For a session: `timeout`, in seconds, is the total until the body's last byte."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pool of kept connections."""
        super().init_poolmanager(*args, **kwargs)
        _bound(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """The pool of the connections through a proxy of the environment."""
        return _bound(super().proxy_manager_for(*args, **kwargs))

    def close(self) -> None:
        """Close the kept connections now; by itself a pool does when it is collected."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - it cannot be iterated over
                manager.pools[key].close()
        super().close()

    def send(
        self, request: requests.PreparedRequest, stream: bool = False, timeout: Any = None,
        verify: bool | str = True, cert: Any = None, proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request; raises what `HTTPAdapter.send` does."""
        total: Any = Timeout(total=timeout)  # accepted, though the signature does not say so
        return super().send(request, stream, total, verify, cert, proxies)


def _bound(manager: PoolManager) -> PoolManager:
    if manager.pool_classes_by_scheme.get("http") is HTTPConnectionPool:  # SOCKS has its own
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager


class _Until(io.RawIOBase):
    """What comes in on a socket, until the deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline for the whole answer has passed")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer whose status line, headers and body share the timeout of its socket."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        seconds = sock.gettimeout()
        if seconds is not None:
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_Until(raw, sock, time.monotonic() + seconds))


class _Deadline:
    """Mixed into a connection: resolving and all addresses of a host share its timeout."""

    def _new_conn(self: Any) -> socket.socket:
        deadline = time.monotonic() + float(self.timeout)
        trouble: OSError | None = None
        try:
            addresses = resolve(self._dns_host, self.port, float(self.timeout))
            for address in addresses:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                try:
                    sock = create_connection(
                        (address, self.port), left, source_address=self.source_address,
                        socket_options=self.socket_options,
                    )
                except OSError as error:
                    trouble = error
                    continue
                # The TLS handshake and a proxy's answer come out of the same time.
                sock.settimeout(max(deadline - time.monotonic(), 0.001))
                return sock
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            trouble = error
        if trouble is None or isinstance(trouble, TimeoutError):
            raise ConnectTimeoutError(self, f"connecting to {self.host} timed out") from trouble
        raise NewConnectionError(self, f"no connection: {trouble}") from trouble


class _Connection(_Deadline, HTTPConnection):
    response_class = _Response


class _TlsConnection(_Deadline, HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def resolve(host: str, port: int, seconds: float) -> list[str]:
    """The addresses of `host`, in the resolver's order; an address stands for itself.

    The system's resolver knows no timeout, so it runs in a thread that is left behind when it takes
    too long. Raises `socket.gaierror` for an unknown name and `TimeoutError`.
    """
    literal = host.strip("[]")
    try:
        ipaddress.ip_address(literal)
    except ValueError:
        pass
    else:
        return [literal]
    answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError:  # a label too long for IDNA
            answers.put(socket.gaierror(socket.EAI_NONAME, "not a host name"))
        except OSError as error:
            answers.put(error)
        else:
            answers.put(list(dict.fromkeys(str(entry[4][0]) for entry in found)))

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"resolving {host} took longer than {seconds:g} seconds") from None
    if isinstance(answer, OSError):
        raise answer
    return answer
