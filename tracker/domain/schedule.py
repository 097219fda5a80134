"""When a delivery is tried again: pure, deterministic, bounded."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# Each is the wait after the attempt before it: ten attempts over a little more than 75 hours, the
# schedule that the Standard Webhooks specification gives as its example.
DELAYS = tuple(
    timedelta(seconds=seconds)
    for seconds in (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
MAX_ATTEMPTS = len(DELAYS)
JITTER = 0.2
LONGEST_RETRY_AFTER = timedelta(hours=24)

# An endpoint that has not taken one delivery for this long is disabled.
DISABLE_AFTER = timedelta(days=5)

# Only these two statuses have a `Retry-After` that means "the same request, later" (RFC 9110).
_RETRY_AFTER_STATUSES = frozenset({429, 503})


def next_attempt(
    delivery_id: int, attempts: int, failed_at: datetime, retry_after: timedelta | None = None
) -> datetime | None:
    """When to try again after `attempts` failed attempts; None when the schedule has ended.

    The wait is the schedule's with up to 20 % of jitter either way, the same for the same
    delivery and attempt, and never shorter than `retry_after` (cut to 24 hours).
    """
    if attempts >= MAX_ATTEMPTS:
        return None
    wait = DELAYS[attempts] * (1 + JITTER * _spread(delivery_id, attempts))
    if retry_after is not None:
        wait = max(wait, min(retry_after, LONGEST_RETRY_AFTER))
    return failed_at + wait


def parse_retry_after(status: int | None, value: str | None, now: datetime) -> timedelta | None:
    """The wait that a `Retry-After` header asks for: whole seconds, or an HTTP date.

    None for a status that does not define it, a missing or unreadable value, or a date gone by.
    """
    if status not in _RETRY_AFTER_STATUSES or value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a year or a zone of twenty digits overflows
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return min(aware - now, LONGEST_RETRY_AFTER) if aware > now else None


def _spread(delivery_id: int, attempts: int) -> float:
    """A number from -1 to 1 that depends on nothing but the delivery and the attempt."""
    digest = hashlib.sha256(f"{delivery_id}:{attempts}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / (2**64 - 1) * 2 - 1
