"""Refuse what a foreign web page could send: other Host names, parameters nobody declared.

The service listens on loopback, where any page in the user's browser could try it: a name that
resolves to 127.0.0.1 (DNS rebinding) would make this service same-origin to that page. So the Host
must be one of ours, and no CORS header is ever sent.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracker.api import problems
from tracker.api.context import is_loopback
from tracker.errors import InputError

# A page may load its own style sheet and nothing else; there is no script at all.
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
# Bytes of a body: an import is a file of up to 50 MB, everything else a small JSON object.
MAX_IMPORT = 50_000_000
MAX_BODY = 1_000_000


class MisdirectedError(InputError):
    """The request names a host that this service is not."""

    code = "wrong_host"
    status = 421


class TooLargeError(InputError):
    """The body is larger than anything that is imported."""

    code = "too_large"
    status = 413


def host_allowed(header: str, bound: str) -> bool:
    """Whether a Host header names this service, bound to the address or name `bound`.

    Bound to every address (`0.0.0.0`, `::`) it is known by names that it cannot know; then every
    request needs a key, which a foreign page does not have.
    """
    try:
        name = urlsplit(f"//{header}").hostname
    except ValueError:
        return False
    if not name:
        return False
    if is_loopback(name) or name == bound.lower().strip("[]"):
        return True
    try:
        return ipaddress.ip_address(bound.strip("[]")).is_unspecified
    except ValueError:
        return False


class Guard:
    """ASGI middleware: the Host check, a bound on bodies, and the security headers."""

    def __init__(self, app: ASGIApp, *, bound: str) -> None:
        self.app = app
        self.bound = bound

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here with a problem."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            # Answered as the GET it asks about; the server leaves the body out.
            scope = {**scope, "method": "GET"}
        limit = MAX_IMPORT if scope["path"].endswith("/import") else MAX_BODY
        refused = self._refusal(scope, limit)
        inner = self.app if refused is None else problems.response(refused)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await inner(scope, _bounded(receive, limit), with_headers)

    def _refusal(self, scope: Scope, limit: int) -> InputError | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if not host_allowed(host, self.bound):
            return MisdirectedError(
                "this service does not answer under that name",
                field="Host",
                value=host,
                mend="use the address that the service is bound to (TRACKER_HOST) or localhost",
            )
        if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            return InputError(
                "a NUL character", field="address", mend="send text without NUL characters"
            )
        length = headers.get(b"content-length", "0")
        if not length.isdigit() or int(length) > limit:
            return _too_large(length, limit)
        return None


def _too_large(length: object, limit: int) -> TooLargeError:
    return TooLargeError(
        f"the body is larger than {limit} bytes",
        field="body",
        value=length,
        mend="split the file and import the parts one after another",
    )


def _bounded(receive: Receive, limit: int) -> Receive:
    """`receive` that stops a body without a declared length at `limit` bytes."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise _too_large(total, limit)
        return message

    return counted


def declared_only(request: Request) -> None:
    """Refuse a query parameter that the route does not declare: a typing error would else pass."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    known = _query_names(route.dependant)
    for name in request.query_params:
        if name not in known:
            raise InputError(
                "unknown query parameter",
                field=name,
                value=request.query_params[name],
                mend=f"use {', '.join(sorted(known))}" if known else "this address takes none",
            )


def _query_names(dependant: Dependant) -> set[str]:
    names = {field.alias for field in dependant.query_params}
    for inner in dependant.dependencies:
        names |= _query_names(inner)
    return names
