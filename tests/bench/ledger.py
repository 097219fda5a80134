"""One block into PostgreSQL, and old blocks read back. `python -m tests.bench.ledger`.

The apply is the ledger's part of a block's transaction: 200 movements of 200 wallets, balances,
days, coins and the cursor, over a ledger that holds 200,000 movements. The range read is the
Bitcoin backfill's own work on real block 866342: fetched over loopback HTTP, scanned against 1M
scripts, checked.
"""

from __future__ import annotations

import hashlib
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from sqlmodel import Session

from tests import servers
from tests.recorded_blocks import raw_block
from tracker.chains.bitcoin.block import scan
from tracker.chains.check import check_scan
from tracker.db import Database
from tracker.db.registry import Entity, Wallet
from tracker.domain.chain import BlockRef
from tracker.domain.match import outpoint_of
from tracker.ledger import repository as ledger
from tracker.ledger.apply import apply_block
from tracker.ledger.effects import BlockEffects, LedgerMovement, MadeCoin

MOVEMENTS, WALLETS, WARM, MEASURED = 200, 200, 1_000, 300
START = datetime(2024, 1, 1, tzinfo=UTC)
HEIGHT = 866342
RANGE_BLOCKS, WATCHED = 60, 1_000_000
BUDGET_APPLY_MS, BUDGET_TRUSTED, BUDGET_VERIFIED = 20.0, 80, 45


def digest(*parts: object) -> bytes:
    """Some 32 bytes, the same each run."""
    return hashlib.sha256(repr(parts).encode()).digest()


def populate(session: Session) -> list[int]:
    """One holder with its wallets."""
    holder = Entity(slug="acme", name="Acme", kind="dat", role="holder", recorded_at=START)
    session.add(holder)
    session.flush()
    wallets = [
        Wallet(
            entity_id=holder.id, chain="bitcoin", address=str(number), key=digest("key", number),
            role="treasury", tier="attested", recorded_at=START,
        )
        for number in range(WALLETS)
    ]  # fmt: skip
    session.add_all(wallets)
    session.flush()
    return [holder.id or 0, *(wallet.id or 0 for wallet in wallets)]


def effects(height: int, parent: bytes, ids: list[int]) -> BlockEffects:
    """A block that pays every wallet once."""
    block = BlockRef(height, digest("block", height), parent, START + timedelta(minutes=height))
    moves, made = [], []
    for number in range(MOVEMENTS):
        tx = digest(height, number)
        wallet = number % WALLETS
        moves.append(
            LedgerMovement(
                tx, "vout:0", digest("key", wallet), "BTC", "output", 1_000, ids[0], ids[wallet + 1]
            )
        )
        made.append(MadeCoin(outpoint_of(tx, 0), digest("key", wallet), 1_000, coinbase=False))
    return BlockEffects(
        block=block, source="bench", watch_version=0, movements=tuple(moves), transfers=(),
        made=tuple(made),
    )  # fmt: skip


def apply() -> None:
    """Times of one block's transaction, commit included."""
    with servers.fresh_database(servers.shared_servers(), "bench_ledger") as url:
        database = Database(url)
        with database.transaction() as session:
            ids = populate(session)
            ledger.start_cursor(session, "bitcoin", 0, digest("block", 0), START)
        times = []
        parent = digest("block", 0)
        for height in range(1, WARM + MEASURED + 1):
            found = effects(height, parent, ids)
            started = time.perf_counter()
            with database.transaction() as session:
                assert apply_block(session, "bitcoin", found, START)
            times.append(time.perf_counter() - started)
            parent = found.block.hash
        database.dispose()
    measured = sorted(times[WARM:])
    p95 = measured[int(len(measured) * 0.95)] * 1e3
    print(f"apply {MOVEMENTS} movements over {WARM * MOVEMENTS:,}: p95 {p95:.1f} ms, "
          f"median {statistics.median(measured) * 1e3:.1f} ms   "
          f"budget p95 <= {BUDGET_APPLY_MS:.0f} ms")  # fmt: skip


def read_range() -> None:
    """Blocks a second of the backfill's own work, the next block fetched meanwhile."""
    raw = raw_block(HEIGHT)
    scripts = {b"\x00\x14" + digest(number)[:20] for number in range(WATCHED)}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65_536

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    session = requests.Session()
    session.trust_env = False
    url = f"http://127.0.0.1:{server.server_port}/"

    def fetch() -> bytes:
        return session.get(url, timeout=20).content

    def run(*, verify: bool) -> float:
        outpoints = {digest("coin", number) + bytes(4) for number in range(WATCHED)}
        started = time.perf_counter()
        with ThreadPoolExecutor(1) as ahead:
            following = ahead.submit(fetch)
            for place in range(RANGE_BLOCKS):
                block = following.result()
                if place + 1 < RANGE_BLOCKS:
                    following = ahead.submit(fetch)
                found = scan(block, scripts, outpoints, verify=verify)
                if verify:
                    check_scan(found, height=HEIGHT, network="mainnet")
        return RANGE_BLOCKS / (time.perf_counter() - started)

    started = time.perf_counter()
    for _ in range(RANGE_BLOCKS):
        fetch()
    limit = RANGE_BLOCKS / (time.perf_counter() - started)
    trusted, verified = run(verify=False), run(verify=True)
    server.shutdown()
    print(f"Bitcoin backfill, real 1.6 MB block, 1M scripts + 1M outpoints: "
          f"trusted {trusted:.0f} blocks/s (budget >= {BUDGET_TRUSTED}), "
          f"verified {verified:.0f} (budget >= {BUDGET_VERIFIED}), "
          f"bytes only {limit:.0f}")  # fmt: skip


def main() -> None:
    """Both."""
    servers.open_run()
    try:
        apply()
    finally:
        servers.close_run()
    read_range()


if __name__ == "__main__":
    main()
