"""SIGKILL while a webhook is under way: it is sent again, with the same id and the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

from sqlmodel import select

from tests.data import ROOT
from tests.receiver import Received, answer, receiving
from tracker.config import Settings
from tracker.db import Database
from tracker.db.webhooks import Delivery
from tracker.events import outbox, publish
from tracker.webhooks import endpoints
from tracker.webhooks.deliver import deliver_due
from tracker.webhooks.endpoints import NewEndpoint

_WORKER = """
import os
from datetime import UTC, datetime
from tracker.config import Settings
from tracker.db import Database
from tracker.webhooks.deliver import deliver_due
deliver_due(Database(os.environ["URL"]), Settings(), now=lambda: datetime.now(UTC))
"""
EVENTS = 20


def test_killed_in_the_middle(postgres_url: str) -> None:
    database = Database(postgres_url)
    start = datetime.now(UTC)
    in_the_middle, alive = threading.Event(), threading.Event()

    def stall(handler: object, request: Received) -> None:
        """The first few are answered; then the worker is killed with POSTs under way."""
        if len(receiver.requests) > 5 and not alive.is_set():
            in_the_middle.set()
            alive.wait(30)
        answer(204)(handler, request)  # type: ignore[arg-type]

    with receiving(stall) as receiver:
        with database.transaction() as session:
            endpoints.add(
                session,
                NewEndpoint(url=receiver.url, allow_hosts=(receiver.host,)),
                settings=Settings(),
                now=start,
            )
            for number in range(EVENTS):
                outbox.add(
                    session,
                    id=f"evt_{number}",
                    type="sell_off.opened",
                    timestamp=start,
                    data={"event_id": f"evt_{number}"},
                    alert_id=None,
                    entity_slug=None,
                    asset="BTC",
                    severity="warning",
                    tier=None,
                    created_at=start,
                )
            publish.publish_pending(session, now=start)
        worker = subprocess.Popen(
            [sys.executable, "-c", _WORKER], env=os.environ | {"URL": postgres_url}, cwd=ROOT
        )
        try:
            assert in_the_middle.wait(60)
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait(10)
        alive.set()
        later = datetime.now(UTC) + timedelta(minutes=5)
        deliver_due(database, Settings(), now=lambda: later)
    with database.transaction() as session:
        rows = list(session.exec(select(Delivery)))
    database.dispose()
    assert {row.state for row in rows} == {"succeeded"}
    bodies: dict[str, set[bytes]] = {}
    for request in receiver.requests:
        bodies.setdefault(request.headers["webhook-id"], set()).add(request.body)
    assert bodies.keys() == {f"evt_{number}" for number in range(EVENTS)}
    assert all(len(found) == 1 for found in bodies.values())
    assert len(receiver.requests) > EVENTS  # what was under way came twice
