"""How many webhooks a second one process delivers. Run: `python -m tests.bench.deliver`.

Real PostgreSQL, a real receiver in its own process that answers after 100 ms, signed events of a
usual size. Budget: 500 a second a process.
"""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing.connection import Connection

import structlog

from tests import servers
from tracker.config import Settings
from tracker.db import Database
from tracker.events import outbox, publish
from tracker.webhooks import endpoints, samples
from tracker.webhooks.deliver import deliver_due
from tracker.webhooks.endpoints import NewEndpoint

EVENTS = 5_000
ANSWER_SECONDS = 0.1
BUDGET = 500


def serve(ready: Connection) -> None:
    """A receiver that costs little: it waits, answers 204 and keeps the connection."""
    import asyncio

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                await asyncio.sleep(ANSWER_SECONDS)
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=256)
        ready.send(server.sockets[0].getsockname()[1])
        async with server:
            await server.serve_forever()

    asyncio.run(run())


def happen(database: Database, count: int) -> None:
    """Write and publish events."""
    now = datetime.now(UTC)
    with database.transaction() as session:
        for number in range(count):
            sample = samples.sample(
                "sell_off.opened", series=f"n{number}", base_url="http://127.0.0.1", now=now
            )
            outbox.add(
                session,
                id=sample.id,
                type="sell_off.opened",
                timestamp=now,
                data=sample.data,
                alert_id=None,
                entity_slug=None,
                asset="BTC",
                severity="warning",
                tier=None,
                created_at=now,
            )
    started = time.perf_counter()
    published = 0
    while True:
        with database.transaction() as session:
            step = publish.publish_pending(session, now=datetime.now(UTC))
        published += step
        if not step:
            break
    show("publish", published, time.perf_counter() - started)


def show(what: str, count: int, seconds: float, note: str = "") -> None:
    print(f"{what:<22}{count:>7} in {seconds:6.2f} s = {count / seconds:8.0f}/s  {note}")


def measure(database: Database, settings: Settings) -> None:
    """Deliver all that is due, in as many calls as that takes."""
    started = time.perf_counter()
    count = 0
    while step := deliver_due(database, settings, now=lambda: datetime.now(UTC)):
        count += step
    seconds = time.perf_counter() - started
    rate = count / seconds
    verdict = "met" if rate >= BUDGET else "NOT met"
    show("deliver", count, seconds, f"budget {BUDGET}/s {verdict}")


def with_receiver(run: Callable[[int], None]) -> None:
    """Call `run` with the port of a receiver in another process."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    there.close()  # so that a receiver which cannot start ends the wait for its port
    try:
        run(here.recv())
    finally:
        process.kill()
        process.join()


def main() -> None:
    """Print the rates."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    servers.open_run()
    try:
        with servers.fresh_database(servers.shared_servers(), "bench_deliver") as url:
            database = Database(url)
            settings = Settings()

            def run(port: int) -> None:
                host = f"127.0.0.1:{port}"
                new = NewEndpoint(url=f"http://{host}/", allow_hosts=(host,))
                with database.transaction() as session:
                    endpoints.add(session, new, settings=settings, now=datetime.now(UTC))
                with closing(socket.create_connection(("127.0.0.1", port), timeout=5)):
                    happen(database, EVENTS)
                measure(database, settings)

            with_receiver(run)
            database.dispose()
    finally:
        servers.close_run()


if __name__ == "__main__":
    main()
