"""Where a webhook may go: the URL, taken apart and checked, and the hosts allowed by name."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from tracker.errors import InputError
from tracker.webhooks.address import refusal

_LONGEST_URL = 2048
DEFAULT_PORTS = {"https": 443, "http": 80}
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings permit: ports (for hosts not named with their port) and plain http."""

    ports: tuple[int, ...]
    allow_http: bool


@dataclass(frozen=True, slots=True)
class Target:
    """A checked URL. `allowed` says that the operator named this host (or host and port)."""

    scheme: str
    host: str
    port: int
    path: str
    allowed: bool


def parse_target(url: str, allow_hosts: Collection[str], policy: Policy) -> Target:
    """`url` taken apart.

    Refused with an `InputError` that names the mend: a scheme other than https (http where the
    settings or `allow_hosts` permit it), credentials or a fragment in the URL, a port that is not
    on the list, a literal address that is not global and not in `allow_hosts`. What a name
    resolves to is checked at every connection, not here.
    """
    if len(url) > _LONGEST_URL or not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise _refused(
            "not a URL that can be called",
            url,
            f"use printable ASCII (xn-- for other letters), up to {_LONGEST_URL} characters",
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _refused("not a URL", url, "write https://host[:port]/path") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise _refused("not an http(s) URL", url, "write https://host[:port]/path")
    if "@" in parts.netloc:
        # The value is not repeated: it holds a password.
        raise _refused(
            "credentials in the URL", None, "verify the signature instead; put no user:password@"
        )
    if parts.fragment:
        raise _refused("a fragment is never sent", url, "drop the part behind #")
    host = _host(parts.hostname, url)
    port = DEFAULT_PORTS[parts.scheme] if port is None else port
    by_port = _named(host, port, allow_hosts, with_port=True)
    allowed = by_port or _named(host, port, allow_hosts, with_port=False)
    mend = f"or allow the host by name: {_joined(host, port)} in allow_hosts (--allow-host)"
    if parts.scheme == "http" and not (policy.allow_http or allowed):
        raise _refused("plain http is not allowed", url, f"use https, {mend}")
    if port not in policy.ports and not by_port:
        ports = ", ".join(str(number) for number in policy.ports)
        raise _refused(f"port {port} is not on the list", url, f"use one of {ports}, {mend}")
    if not allowed and (reason := _literal_refusal(host)):
        raise _refused(f"{host} is {reason}", url, f"use a public address, {mend}")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path, allowed)


def check_allow_host(entry: str) -> str:
    """An `allow_hosts` entry in its plain form, `host` or `host:port`; raises `InputError`."""
    host, port = _split(entry)
    bare = host.strip("[]").lower().rstrip(".")
    if (port is not None and not 1 <= port <= 65535) or not (
        _is_address(bare) or _HOST_NAME.fullmatch(bare)
    ):
        raise InputError(
            "not a host",
            field="allow_hosts",
            value=entry,
            mend="write host or host:port, such as 127.0.0.1:9000, without a scheme or path",
        )
    return bare if port is None else _joined(bare, port)


def _host(name: str, url: str) -> str:
    host = name.lower().rstrip(".")
    if not (_is_address(host) or _HOST_NAME.fullmatch(host)):
        raise _refused("not a host name", url, "write a DNS name or an address")
    return host


def _named(host: str, port: int, allow_hosts: Collection[str], *, with_port: bool) -> bool:
    return (_joined(host, port) if with_port else host) in allow_hosts


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split(entry: str) -> tuple[str, int | None]:
    if _is_address(entry.strip("[]")):
        return entry, None
    host, colon, port = entry.rpartition(":")
    if not colon:
        return entry, None
    return host, int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def _literal_refusal(host: str) -> str | None:
    if host == "localhost" or host.endswith(".localhost"):
        return "this machine"
    return refusal(host) if _is_address(host) else None


def _refused(message: str, url: str | None, mend: str) -> InputError:
    return InputError(message, field="url", value=url, mend=mend)
