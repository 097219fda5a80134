"""One bounded GET of a JSON document.

Public endpoints answer with rate limits in every form (a 429, an error list with status 200, a
page for browsers), so each is told apart here and never parsed as a price.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import requests
import urllib3

from tracker.errors import ReplyError, SourceUnavailableError

_CONNECT_SECONDS = 3.05
_READ_SECONDS = 4.0
_TOTAL_SECONDS = 6.0
_MAX_BYTES = 1_000_000
_CHUNK = 16_384
_MAX_RETRY_AFTER = 3600.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A JSON document with the HTTP status it came with; numbers are `int` or `Decimal`."""

    status: int
    document: Any


def get_json(
    source: str,
    url: str,
    *,
    user_agent: str,
    params: dict[str, str] | None = None,
    allow: tuple[int, ...] = (),
) -> Reply:
    """The JSON document at `url`, read in at most some seconds and one megabyte.

    A status other than 200 or one of `allow` is an error. Raises `SourceUnavailableError` (with
    `retry_after` in seconds where the source gave it) when it cannot be reached, is slow, limits
    us or fails, and `ReplyError` when it redirects or when what comes is no JSON. No error
    carries what the source sent: it may be a whole page.
    """
    deadline = time.monotonic() + _TOTAL_SECONDS
    try:
        with requests.get(
            url,
            params=params,
            headers={"User-Agent": user_agent, "Accept": "application/json"},
            timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as response:
            _check_status(source, response, allow)
            body = _body(source, response, deadline)
            return Reply(response.status_code, _parse(source, response, body))
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise SourceUnavailableError(
            f"{source} cannot be reached ({type(error).__name__})",
            field="source",
            value=source,
            mend="check the connection; it is tried again by itself",
        ) from error


def _check_status(source: str, response: requests.Response, allow: tuple[int, ...]) -> None:
    status = response.status_code
    if status == requests.codes.ok or status in allow:
        return
    if 300 <= status < 400:
        raise ReplyError(f"{source} redirects elsewhere", field="status", value=status)
    raise SourceUnavailableError(
        f"{source} answered {status}",
        retry_after=_retry_after(response.headers.get("Retry-After")),
        field="status",
        value=status,
        mend="wait: it is tried again by itself; a 403 or 451 means that it does not serve this "
        "place, then remove it from the settings",
    )


def _retry_after(header: str | None) -> float | None:
    """Seconds to wait; the date form of the header is rare here and means nothing to us."""
    if header is None or not header.strip().isdecimal():
        return None
    return min(float(header), _MAX_RETRY_AFTER)


def _body(source: str, response: requests.Response, deadline: float) -> bytes:
    body = bytearray()
    # One read of the socket at a time: a chunk that trickles in must not outlast the deadline.
    while chunk := response.raw.read1(_CHUNK, decode_content=True):
        body += chunk
        if len(body) > _MAX_BYTES:
            raise ReplyError(f"{source} sent more than {_MAX_BYTES} bytes", field="body")
        if time.monotonic() > deadline:
            raise SourceUnavailableError(f"{source} is too slow", field="source", value=source)
    return bytes(body)


def _parse(source: str, response: requests.Response, body: bytes) -> Any:
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError, ArithmeticError) as error:
        # An exponent of twenty digits is JSON, but overflows the decimal.
        raise ReplyError(
            f"{source} sent no JSON",
            field="Content-Type",
            value=response.headers.get("Content-Type"),
            mend="a proxy or a page for browsers may stand in between",
        ) from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
