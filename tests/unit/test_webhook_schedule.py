"""The retry schedule: what it waits, how far it jitters, what Retry-After does to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.domain.schedule import (
    DELAYS,
    JITTER,
    LONGEST_RETRY_AFTER,
    MAX_ATTEMPTS,
    next_attempt,
    parse_retry_after,
)

NOW = datetime(2026, 10, 4, 12, 0, 0, tzinfo=UTC)


def test_ten_attempts_over_more_than_a_day() -> None:
    assert MAX_ATTEMPTS == 10
    assert sum(DELAYS, timedelta()) * (1 - JITTER) > timedelta(hours=24)
    assert next_attempt(1, MAX_ATTEMPTS, NOW) is None


@given(st.integers(1, 2**63 - 1), st.integers(1, MAX_ATTEMPTS - 1))
def test_the_jitter_is_bounded_and_always_the_same(delivery_id: int, attempts: int) -> None:
    due = next_attempt(delivery_id, attempts, NOW)
    assert due is not None
    assert due == next_attempt(delivery_id, attempts, NOW)
    assert DELAYS[attempts] * (1 - JITTER) <= due - NOW <= DELAYS[attempts] * (1 + JITTER)


def test_deliveries_do_not_come_back_in_step() -> None:
    assert len({next_attempt(delivery_id, 2, NOW) for delivery_id in range(100)}) > 90


@pytest.mark.parametrize(
    ("asked", "least"),
    [
        (timedelta(seconds=1), timedelta(seconds=4)),
        (timedelta(minutes=9), timedelta(minutes=9)),
        (timedelta(days=9), LONGEST_RETRY_AFTER),
    ],
)
def test_retry_after_only_lengthens_and_is_bounded(asked: timedelta, least: timedelta) -> None:
    due = next_attempt(1, 1, NOW, asked)
    assert due is not None
    assert least <= due - NOW <= max(least, DELAYS[1] * (1 + JITTER))


@pytest.mark.parametrize(
    ("status", "value", "expected"),
    [
        (429, "120", timedelta(seconds=120)),
        (503, " 0 ", timedelta(0)),
        (503, "9" * 400, LONGEST_RETRY_AFTER),
        (429, format_datetime(NOW + timedelta(minutes=3), usegmt=True), timedelta(minutes=3)),
        (429, "Sun, 04 Oct 2026 12:03:00", timedelta(minutes=3)),
        (429, format_datetime(NOW - timedelta(minutes=3), usegmt=True), None),
        (429, format_datetime(NOW + timedelta(days=30), usegmt=True), LONGEST_RETRY_AFTER),
        (500, "120", None),
        (None, "120", None),
        (429, None, None),
        (429, "-5", None),
        (429, "1.5", None),
        (429, "٣", None),
        (429, "soon", None),
        (503, f"Sun, 04 Oct {'9' * 20} 12:03:00 GMT", None),
        (503, f"Sun, 04 Oct 2026 12:03:00 +{'9' * 17}", None),
        (429, "", None),
    ],
)
def test_reading_retry_after(
    status: int | None, value: str | None, expected: timedelta | None
) -> None:
    assert parse_retry_after(status, value, NOW) == expected
