"""The memory of a scan worker with a million watched addresses.

`python -m tests.bench.watch_memory` fills a real PostgreSQL with a million open wallets, then also
with a million unspent coins. A process of its own imports what a worker imports, loads the watch
set, and loads it again while the first is still held, as the scan does when the set was changed.
Resident memory as the kernel counts it; the peak is that of the whole life of the process.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from sqlalchemy import text

from tests import servers
from tracker.db import Database

COUNT = 1_000_000
ROWS_A_STATEMENT = 100_000
BUDGET_MB = 350

_ENTITY = """
    insert into entity (slug, name, kind, role, enabled, owner, rules, recorded_at)
    values ('bench', 'Bench', 'dat', 'holder', true, 'operator', '{}', now())
"""
# Half P2WPKH, half P2TR: 22 and 34 bytes.
_SCRIPT = r"""
    create function bench_script(n integer) returns bytea language sql immutable return
        case n % 2 when 0 then '\x0014'::bytea || substr(sha256(int4send(n)), 1, 20)
        else '\x5120'::bytea || sha256(int4send(n)) end
"""
_WALLETS = """
    insert into wallet
        (entity_id, chain, address, key, role, tier, owner, opening_known, recorded_at)
    select entity.id, 'bitcoin', 'bench' || n, bench_script(n), 'treasury', 'user', 'operator',
        true, now()
    from generate_series(:first, :last) as n, entity where entity.slug = 'bench'
"""
_COINS = """
    insert into utxo (chain, outpoint, key, amount, coinbase, created_height, created_hash)
    select 'bitcoin', sha256(int4send(-n)) || int4send(n % 4), bench_script(n), 1000, false, 1,
        sha256('bench')
    from generate_series(:first, :last) as n
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """Megabytes of 1,000,000 bytes, and the seconds of the second load."""

    empty: float
    loaded: float
    refreshed: float
    peak: float
    seconds: float


def watch(url: str, redis_url: str, send: Connection) -> None:
    """Load the watch set twice in this process, and send what that took."""
    os.environ |= {"TRACKER_DATABASE_URL": url, "TRACKER_REDIS_URL": redis_url}
    from tracker.scanning.repository import load_watch
    from workers.app import app

    app.loader.import_default_modules()
    database = Database(url)
    with database.transaction() as session:
        session.execute(text("select 1"))
    empty = resident("VmRSS")
    held = []
    after = []
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        with database.transaction(snapshot=True) as session:
            held.append(load_watch(session, "bitcoin", 1, bytes(32)))
        seconds = time.perf_counter() - started
        after.append(resident("VmRSS"))
    database.dispose()
    send.send(Taken(empty, after[0], after[1], resident("VmHWM"), seconds))


def resident(field: str) -> float:
    """A field of this process's memory as Linux states it, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024 / 1_000_000
    raise LookupError(field)


def in_new_process(url: str, redis_url: str) -> Taken:
    """What `watch` says, called in a fresh interpreter."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=watch, args=(url, redis_url, there)
    )
    process.start()
    there.close()  # so that a process which cannot start ends the wait for its word
    try:
        taken: Taken = here.recv()
    finally:
        process.join()
    return taken


def fill(database: Database, statement: str) -> None:
    """Run an insert of `COUNT` rows in parts, each below the statement time-out."""
    for first in range(1, COUNT + 1, ROWS_A_STATEMENT):
        with database.transaction() as session:
            rows = {"first": first, "last": first + ROWS_A_STATEMENT - 1}
            session.execute(text(statement), rows)


def show(what: str, taken: Taken) -> None:
    print(
        f"{what}: {taken.empty:.0f} MB before, {taken.loaded:.0f} MB loaded, "
        f"{taken.refreshed:.0f} MB with the old and the new set, peak {taken.peak:.0f} MB, "
        f"loaded in {taken.seconds:.1f} s"
    )


def main() -> None:
    """Print what a worker takes; the last line is the budget's row."""
    servers.open_run()
    try:
        shared = servers.shared_servers()
        with servers.fresh_database(shared, "bench_watch_memory") as url:
            database = Database(url)
            with database.transaction() as session:
                session.execute(text(_ENTITY))
                session.execute(text(_SCRIPT))
            fill(database, _WALLETS)
            wallets = in_new_process(url, shared.redis_url)
            show(f"{COUNT:,} wallets", wallets)
            fill(database, _COINS)
            show(f"{COUNT:,} wallets and {COUNT:,} coins", in_new_process(url, shared.redis_url))
            database.dispose()
    finally:
        servers.close_run()
    print(
        f"| memory of a scan worker, {COUNT:,} watched | loaded {wallets.loaded:.0f} MB, "
        f"peak in a refresh {wallets.peak:.0f} MB (<= {BUDGET_MB}) |"
    )


if __name__ == "__main__":
    main()
