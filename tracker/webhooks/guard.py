"""The guard: resolve once, refuse what is not global, connect to the address that was checked."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import Executor
from concurrent.futures import TimeoutError as FutureTimeoutError

from tracker.errors import TrackerError
from tracker.webhooks.address import refusal
from tracker.webhooks.target import Target

# Name and port to addresses, as literals, best first; raises `OSError` for an unknown name.
Resolver = Callable[[str, int], list[str]]

_MOST_ADDRESSES = 4
_SHORTEST_TRY_SECONDS = 0.05


class UndeliverableError(TrackerError):
    """No connection that the guard permits: what happened, in words fit for a delivery log."""

    code = "undeliverable"
    status = 502


def system_resolver(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver knows, in its order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def connect(
    target: Target, deadline: float, resolve: Resolver, resolvers: Executor
) -> socket.socket:
    """A TCP connection to an address of `target.host` that was checked after resolving.

    `deadline` is on the monotonic clock, in seconds, and bounds resolving too (the system's
    resolver has no time-out, so it runs on `resolvers`). Nothing resolves the name a second time,
    so a name that changes its answer gains nothing. Raises `UndeliverableError`.
    """
    addresses = _resolved(target, deadline, resolve, resolvers)
    permitted = [address for address in addresses if target.allowed or refusal(address) is None]
    if not permitted:
        refused = addresses[0]
        raise UndeliverableError(
            f"refused: {target.host} is at {refused}, {refusal(refused)}",
            mend="allow the host by name (allow_hosts) if this receiver is meant",
        )
    trouble = "no address answered"
    for place, address in enumerate(permitted[:_MOST_ADDRESSES]):
        left = deadline - time.monotonic()
        if left < _SHORTEST_TRY_SECONDS:
            break
        # What is left is shared, so that one dead address does not use up the others' time.
        share = left / (min(len(permitted), _MOST_ADDRESSES) - place)
        try:
            line = socket.create_connection((address, target.port), timeout=share)
        except TimeoutError:
            trouble = "the connection timed out"
        except OSError as error:
            trouble = f"no connection: {error.strerror or type(error).__name__}"
        else:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return line
    raise UndeliverableError(trouble)


def _resolved(target: Target, deadline: float, resolve: Resolver, resolvers: Executor) -> list[str]:
    pending = resolvers.submit(resolve, target.host, target.port)
    try:
        addresses = pending.result(timeout=max(0.0, deadline - time.monotonic()))
    except FutureTimeoutError:
        pending.cancel()
        raise UndeliverableError(f"resolving {target.host} timed out") from None
    except (OSError, UnicodeError):
        raise UndeliverableError(f"the name {target.host} does not resolve") from None
    if not addresses:
        raise UndeliverableError(f"the name {target.host} has no address")
    return addresses
