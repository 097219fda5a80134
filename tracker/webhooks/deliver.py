"""Delivery: claim what is due, POST it outside any transaction, record what came of it.

A process may die at any point. Before the record is committed, the lease runs out and the same
id and bytes are sent again (at least once); after it, the delivery is done.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from tracker import signing
from tracker.config import Settings
from tracker.db import Database
from tracker.domain.schedule import MAX_ATTEMPTS
from tracker.log import get_logger
from tracker.webhooks import record, repository
from tracker.webhooks.endpoints import policy_of
from tracker.webhooks.record import Attempted
from tracker.webhooks.repository import Claimed
from tracker.webhooks.sender import Reply, Sender
from tracker.webhooks.window import Windows

# A lease outlives the wait for a thread, the longest POST and the recording of it.
LEASE_MARGIN_SECONDS = 15.0
# Claimed beyond the number of threads, so that none is idle while the loop is at the database.
_AHEAD = 0.25
# Answers that come within this time of each other share a transaction.
_GATHER_SECONDS = 0.01
# While slow receivers are waited for, how often to look for what became due meanwhile.
_LOOK_SECONDS = 0.2
# No new POST is begun after this long, so that a task ends within its time limit.
BUDGET_SECONDS = 20.0

_log = get_logger("webhooks.deliver")


def deliver_due(
    database: Database,
    settings: Settings,
    *,
    now: Callable[[], datetime],
    limit: int = 5_000,
    sender: Sender | None = None,
    budget_seconds: float = BUDGET_SECONDS,
) -> int:
    """Attempt what is due, `limit` POSTs at most; returns how many were made.

    Begins nothing new after `budget_seconds` and returns when the last answer is recorded, so at
    the latest one time-out later. Safe to run in any number of processes and threads at once.
    `sender` is one to share between calls; without it one is made and closed.
    """
    own = sender or Sender(
        timeout_seconds=settings.webhook_timeout_seconds,
        policy=policy_of(settings),
        concurrency=settings.webhook_concurrency,
    )
    run = _Run(database, settings, own, now)
    try:
        return run.work(limit, time.monotonic() + budget_seconds)
    finally:
        run.close()
        if sender is None:
            own.close()


@dataclass(frozen=True, slots=True)
class _Posted:
    claimed: Claimed
    at: datetime
    reply: Reply

    @property
    def attempted(self) -> Attempted:
        """What is recorded of it."""
        return Attempted(
            delivery_id=self.claimed.delivery_id,
            endpoint_id=self.claimed.endpoint_id,
            was_failing=self.claimed.failing,
            number=self.claimed.number,
            leased_until=self.claimed.leased_until,
            at=self.at,
            reply=self.reply,
        )


class _Run:
    """One call of `deliver_due`: the loop that claims and records, and the threads that post."""

    def __init__(
        self, database: Database, settings: Settings, sender: Sender, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._places = settings.webhook_concurrency + int(settings.webhook_concurrency * _AHEAD)
        self._lease = timedelta(seconds=2 * settings.webhook_timeout_seconds + LEASE_MARGIN_SECONDS)
        # A header is ASCII without line breaks, whatever the setting holds.
        agent = settings.user_agent.encode("ascii", "replace").decode()
        self._agent = " ".join(agent.split())
        self._sender = sender
        self._now = now
        self._windows = Windows(self._places)
        self._threads = ThreadPoolExecutor(
            settings.webhook_concurrency, thread_name_prefix="webhook-post"
        )
        self._done: queue.SimpleQueue[Future[_Posted]] = queue.SimpleQueue()
        self._under_way = 0

    def work(self, limit: int, end: float) -> int:
        """Claim, post and record until nothing is due, or a bound is met."""
        begun = 0
        posted: Sequence[_Posted] = ()
        with self._database.transaction() as session:
            repository.settle_abandoned(session, self._now(), MAX_ATTEMPTS)
        while True:
            for item in posted:
                self._windows.ended(
                    item.claimed.endpoint_id,
                    good=item.reply.error is None,
                    seconds=item.reply.duration_ms / 1000,
                )
            most = limit - begun if time.monotonic() < end else 0
            claimed = self._turn(posted, most)
            for delivery in claimed:
                self._begin(delivery)
            begun += len(claimed)
            if not self._under_way:
                return begun
            posted = self._answered()

    def close(self) -> None:
        """End the threads; on the way out of an error too, without waiting for their answers."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _turn(self, posted: Sequence[_Posted], most: int) -> Sequence[Claimed]:
        """Record what was answered and claim up to `most` more, in one short transaction."""
        free = min(most, self._places - self._under_way)
        if not posted and free <= 0:
            return ()
        now = self._now()
        claimed: Sequence[Claimed] = ()
        disabled: dict[str, str] = {}
        with self._database.transaction() as session:
            if posted:
                disabled = record.record(session, [item.attempted for item in posted], now=now)
            due = repository.endpoints_with_due(session, now, MAX_ATTEMPTS) if free > 0 else []
            if dealt := self._windows.share_out(free, due):
                claimed = repository.claim(session, dealt, now, now + self._lease, MAX_ATTEMPTS)
        _tell(posted, disabled)
        return claimed

    def _begin(self, claimed: Claimed) -> None:
        self._under_way += 1
        self._windows.began(claimed.endpoint_id)
        self._threads.submit(self._post, claimed).add_done_callback(self._done.put)

    def _post(self, claimed: Claimed) -> _Posted:
        at = self._now()
        if not claimed.secrets:  # removed since it was claimed
            return _Posted(claimed, at, Reply(None, "the endpoint is removed", None, None, 0))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": self._agent,
            signing.HEADER_ID: claimed.event_id,
            signing.HEADER_TIMESTAMP: str(int(at.timestamp())),
            signing.HEADER_SIGNATURE: signing.sign(
                claimed.secrets, claimed.event_id, at, claimed.body
            ),
            "tracker-sequence": str(claimed.sequence),
        }
        reply = self._sender.post(claimed.url, headers, claimed.body, claimed.allow_hosts)
        return _Posted(claimed, at, reply)

    def _answered(self) -> list[_Posted]:
        """What has been answered, after waiting a moment for the first."""
        found: list[Future[_Posted]] = []
        wait, end = _LOOK_SECONDS, 0.0
        try:
            while wait > 0:
                found.append(self._done.get(timeout=wait))
                end = end or time.monotonic() + _GATHER_SECONDS
                wait = end - time.monotonic()
        except queue.Empty:
            pass
        self._under_way -= len(found)
        return [future.result() for future in found]


def _tell(posted: Sequence[_Posted], disabled: dict[str, str]) -> None:
    for item in posted:
        _log.info(
            "delivery.attempted",
            delivery=item.claimed.delivery_id,
            event_id=item.claimed.event_id,
            endpoint=item.claimed.endpoint_id,
            attempt=item.claimed.number,
            status=item.reply.status,
            error=item.reply.error,
            duration_ms=item.reply.duration_ms,
        )
    for endpoint_id, reason in disabled.items():
        _log.warning("endpoint.disabled", endpoint=endpoint_id, reason=reason)
