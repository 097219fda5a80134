"""What an attempt's reply means for its delivery: pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tracker.domain.schedule import next_attempt, parse_retry_after
from tracker.webhooks.sender import Reply

PENDING = "pending"
SUCCEEDED = "succeeded"
EXHAUSTED = "exhausted"

_GONE = 410


@dataclass(frozen=True, slots=True)
class Outcome:
    """The delivery's next state; `due_at` where it is tried again; `gone` where nobody wants it."""

    state: str
    due_at: datetime | None = None
    gone: bool = False


def outcome(delivery_id: int, number: int, reply: Reply, now: datetime) -> Outcome:
    """The outcome of attempt `number` (from 1) that was answered, or not, at `now`.

    Only a 2xx succeeds. 410 means that the receiver is gone for good; anything else is tried
    again until the schedule ends, then it is a dead letter.
    """
    if reply.error is None:
        return Outcome(SUCCEEDED)
    if reply.status == _GONE:
        return Outcome(EXHAUSTED, gone=True)
    retry_after = parse_retry_after(reply.status, reply.retry_after, now)
    due_at = next_attempt(delivery_id, number, now, retry_after)
    return Outcome(EXHAUSTED) if due_at is None else Outcome(PENDING, due_at)
