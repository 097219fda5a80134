"""Reading fields of a venue's JSON: each is there and of the right form, or a `ReplyError`."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from tracker.errors import ReplyError


def member(source: str, document: Any, key: str) -> Any:
    """The value of `key` in a JSON object."""
    if not isinstance(document, dict) or key not in document:
        raise ReplyError(f"{source} left out a field", field=key)
    return document[key]


def number(source: str, value: Any) -> Decimal:
    """A finite decimal out of a JSON number or string."""
    try:
        found = Decimal(value) if isinstance(value, int | str | Decimal) else Decimal("NaN")
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or isinstance(value, bool):
        raise ReplyError(f"{source} gave no number", field="price", value=value)
    return found


def unix_time(source: str, value: Any) -> datetime:
    """A UTC instant out of seconds since 1970, as number or string."""
    try:
        return datetime.fromtimestamp(float(number(source, value)), UTC)
    except (OverflowError, OSError, ValueError):
        raise ReplyError(f"{source} gave no time", field="timestamp", value=value) from None
