"""Who may do what: reads are open on loopback unless the settings say otherwise, writes never."""

from __future__ import annotations

import base64
import binascii

from fastapi import Depends, Request

from tracker.api.context import Context, Ctx, is_loopback
from tracker.errors import AuthError
from tracker.operations import keys


class ForbiddenError(AuthError):
    """The key is known but lacks the scope."""

    code = "forbidden"
    status = 403


def reads_are_open(context: Context) -> bool:
    """Whether reading needs no key: bound to loopback, and the settings do not ask for keys."""
    settings = context.settings
    return is_loopback(settings.host) and not settings.api_keys_required_for_reads


def may_read(request: Request, context: Ctx) -> None:
    """Let a read pass; raises `AuthError` where a key is needed and none that works was sent."""
    if not reads_are_open(context):
        _demand(context, _bearer(request) or _basic(request), "read")


def may_write(request: Request, context: Ctx) -> None:
    """Let a write pass. Only a bearer key serves: browsers send Basic on their own accord."""
    _demand(context, _bearer(request), "write")


READ = Depends(may_read)
WRITE = Depends(may_write)


def _demand(context: Context, bearer: str | None, scope: str) -> None:
    with context.database.transaction(snapshot=True) as session:
        scopes = keys.authenticate(session, bearer).scopes
    if scope not in scopes:
        raise ForbiddenError(
            f"this key lacks the scope {scope}",
            field="Authorization",
            mend=f"use a key made by `tracker keys add NAME --scope {scope}`",
        )


def _credentials(request: Request, scheme: str) -> str | None:
    offered, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() or None if offered.lower() == scheme else None


def _bearer(request: Request) -> str | None:
    return _credentials(request, "bearer")


def _basic(request: Request) -> str | None:
    """The password of HTTP Basic, which is how a browser brings a key to the page."""
    encoded = _credentials(request, "basic")
    if encoded is None:
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2] or None
    except (binascii.Error, UnicodeDecodeError):
        return None
