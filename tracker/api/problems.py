"""Every error as `application/problem+json` (RFC 9457): what, which field, the value, the mend."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from tracker.errors import AuthError, InputError, SourceUnavailableError, TrackerError
from tracker.log import get_logger, mask

MEDIA_TYPE = "application/problem+json"
# What pydantic says of a bound that was crossed, as the mend.
_BOUNDS = {
    "expected": "use one of {}",
    "le": "give at most {}",
    "lt": "give less than {}",
    "ge": "give at least {}",
    "max_length": "shorten it to {}",
}
_log = get_logger("api")


class Problem(BaseModel):
    """The body of every error."""

    type: str = Field(
        description="A stable URI of the kind of error", examples=["urn:tracker:not_found"]
    )
    title: str = Field(description="The status in words")
    status: int
    code: str = Field(description="Stable and machine-readable")
    detail: str
    field: str | None = Field(
        None, description="What was wrong: a parameter, a body field, a setting"
    )
    value: str | None = Field(None, description="The offending value, shortened; never a secret")
    mend: str | None = Field(None, description="What to do about it")


def response(error: TrackerError, *, headers: dict[str, str] | None = None) -> JSONResponse:
    """The reply that tells of `error`."""
    return _reply(
        status=error.status,
        code=error.code,
        detail=error.message,
        field=error.field,
        value=error.value,
        mend=error.mend,
        headers=headers,
    )


def install(app: FastAPI) -> None:
    """Make `app` answer every failure with a problem, never with a stack trace."""
    app.add_exception_handler(TrackerError, _tracker_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


def headers_of(error: TrackerError) -> dict[str, str]:
    """The headers that belong to `error`: how to bring a key, when to come again."""
    headers: dict[str, str] = {}
    if isinstance(error, AuthError):
        # Basic lets a browser ask for the key where the page is not open; it grants reads only.
        headers["WWW-Authenticate"] = (
            'Bearer, Basic realm="Treasury Tracker: the key is the password"'
        )
    if isinstance(error, SourceUnavailableError):
        headers["Retry-After"] = str(max(1, round(error.retry_after or 5)))
    return headers


def from_validation(error: RequestValidationError) -> InputError:
    """The first thing that was wrong with what a caller sent."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return InputError(
            f"the body is not JSON (at character {first['loc'][-1]})",
            field="body",
            mend="send a JSON object with Content-Type: application/json",
        )
    return InputError(
        _sentence(first),
        field=_place(first["loc"]),
        value=None if first["type"] == "missing" else _scalar(first.get("input")),
        mend=_mend(first),
    )


async def _tracker_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TrackerError)  # noqa: S101 - registered for this class alone
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning("request_failed", code=error.code, error=mask(str(error)))
    return response(error, headers=headers_of(error))


async def _validation_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    return response(from_validation(error))


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    status = HTTPStatus(error.status_code)
    mends = {
        HTTPStatus.NOT_FOUND: "see /openapi.json for the addresses that exist",
        HTTPStatus.METHOD_NOT_ALLOWED: "use a method that the Allow header names",
    }
    return _reply(
        status=status,
        code=status.name.lower(),
        detail=error.detail,
        field="path" if status is HTTPStatus.NOT_FOUND else None,
        value=None,
        mend=mends.get(status),
        headers=dict(error.headers or {}),
    )


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _log.error("request_crashed", path=request.url.path, exc_info=error)
    return _reply(
        status=500,
        code="internal_error",
        detail="the service made a mistake; its log says which",
        field=None,
        value=None,
        mend="look into the log of the API and report it",
        headers=None,
    )


def _reply(
    *,
    status: int,
    code: str,
    detail: str,
    field: str | None,
    value: str | None,
    mend: str | None,
    headers: dict[str, str] | None,
) -> JSONResponse:
    problem = Problem(
        type=f"urn:tracker:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=_plain(detail),
        field=field,
        value=None if value is None else _plain(value),
        mend=mend,
    )
    return JSONResponse(
        problem.model_dump(), status_code=status, headers=headers, media_type=MEDIA_TYPE
    )


def _plain(text: str) -> str:
    """`text` without secrets and without half characters, which no JSON can carry."""
    return mask(text).encode("utf-8", "backslashreplace").decode()


def _place(location: Sequence[int | str]) -> str:
    """`('body', 'url')` as `url`: callers know whether they sent a query or a body."""
    parts = [str(part) for part in location if part not in ("query", "path", "body", "header")]
    return ".".join(parts) or "body"


def _scalar(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int | float | bool) else None


def _sentence(error: Any) -> str:
    if error["type"] in ("enum", "literal_error"):
        return "not a value that is known"
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _mend(error: Any) -> str:
    if error["type"] == "missing":
        return "send this field"
    if error["type"] == "extra_forbidden":
        return "leave it out, or correct its name"
    if error["type"] == "string_type":
        return "send it as text, in quotes"
    bounds = error.get("ctx") or {}
    for name, words in _BOUNDS.items():
        if name in bounds:
            return words.format(bounds[name])
    return "send what /openapi.json describes"
