"""What holdings and transfers cost at a million movements. Run: `python -m tests.bench.queries`.

One entity of 20 wallets over 5 years on real PostgreSQL, with a disclosure a month, read as the API
reads: one snapshot transaction a request, the schemas included. Budget: p95 within 20 ms.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from tests import servers
from tracker.api.paging import decode_moment, encode_moment
from tracker.api.reads import chains, ledger
from tracker.api.reads.entities import show_holdings
from tracker.api.reads.history import show_changes, show_history
from tracker.config import Settings
from tracker.db import Database
from tracker.db.chain import Cursor, Movement
from tracker.db.copying import copy_rows
from tracker.db.facts import Disclosure, Price
from tracker.db.registry import Entity, Wallet
from tracker.ledger.history.tenures import Moment
from tracker.registry import repository as registry

MOVEMENTS = 1_000_000
WALLETS = 20
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
START = NOW - timedelta(days=5 * 365)
BLOCKS = 5 * 365 * 144
ASKED = 200
BUDGET_MS = 20.0
_STEP = (NOW - START) / BLOCKS
_CHUNK = 50_000
# The movements of a day of a wallet, however many others there are.
_INDEX = "movement_time"


def block_hash(height: int) -> bytes:
    return height.to_bytes(32, "big")


def holder(database: Database) -> tuple[int, list[int]]:
    """The entity and its wallets, all opened in the first block."""
    with database.transaction() as session:
        entity = Entity(slug="holder", name="Holder", kind="dat", role="holder", recorded_at=START)
        session.add(entity)
        session.flush()
        wallets = [
            Wallet(
                entity_id=entity.id, chain="bitcoin", address=f"wallet {number}",
                key=b"%d" % number, role="treasury", tier="attested", recorded_at=START,
                active_from_height=1, opening_known=True, opening_height=0,
                opening_hash=block_hash(0), opening_time=START,
            )
            for number in range(WALLETS)
        ]  # fmt: skip
        session.add_all(wallets)
        session.flush()
        session.add(
            Cursor(
                chain="bitcoin", height=BLOCKS, hash=block_hash(BLOCKS), final_height=BLOCKS - 99,
                safe_height=BLOCKS - 5, tip_advanced_at=NOW,
            )
        )  # fmt: skip
        for month in range(1, 5 * 12):
            session.add(
                Disclosure(
                    entity_id=entity.id or 0, as_of=(START + timedelta(days=30.4 * month)).date(),
                    asset="BTC", kind="total", amount=10**13, evidence="primary",
                    source="a filing", first_seen=NOW, recorded_at=NOW,
                )
            )  # fmt: skip
        session.add(
            Price(
                kind="close", subject="BTC", at=NOW, value=Decimal(60_000), currency="USD",
                state="closed", source="a venue", recorded_at=NOW,
            )
        )  # fmt: skip
        return entity.id or 0, [wallet.id or 0 for wallet in wallets]


def movements(entity: int, wallets: list[int]) -> Iterator[dict[str, Any]]:
    """Rows in the order in which the chain made them."""
    rng = random.Random(7)
    for number in range(MOVEMENTS):
        height = number * BLOCKS // MOVEMENTS
        which = rng.randrange(WALLETS)
        yield {
            "chain": "bitcoin", "block_hash": block_hash(height), "tx": block_hash(number),
            "ref": "vout:0", "key": b"%d" % which, "asset": "BTC", "kind": "output",
            "bucket": "liquid", "wallet_id": wallets[which], "cause": "movement",
            "amount": rng.randint(-(10**9), 10**9), "height": height,
            "time": START + height * _STEP, "entity_id": entity, "canonical": True,
        }  # fmt: skip


def load(database: Database) -> None:
    """A million movements, the days and balances that they add up to, a transfer for each."""
    entity, wallets = holder(database)
    rows = movements(entity, wallets)
    with database.transaction() as session:
        session.execute(text("set local statement_timeout = 0"))
        while chunk := [row for row, _ in zip(rows, range(_CHUNK), strict=False)]:
            copy_rows(session, Movement, chunk)
        session.execute(
            text(
                "insert into day_flow (wallet_id, asset, bucket, cause, day, amount)"
                " select wallet_id, asset, bucket, cause, (time at time zone 'UTC')::date,"
                " sum(amount) from movement group by 1, 2, 3, 4, 5"
            )
        )
        session.execute(
            text(
                "insert into balance (chain, key, asset, bucket, wallet_id, entity_id, amount,"
                " as_of_height, as_of_hash)"
                " select chain, key, asset, bucket, wallet_id, entity_id, sum(amount),"
                " max(height), '\\x00' from movement group by 1, 2, 3, 4, 5, 6"
            )
        )
        session.execute(
            text(
                "insert into transfer (id, chain, tx, block_hash, height, time, entity_id, asset,"
                " gross_in, gross_out, fee, net, counterparties, intent, probability, evidence,"
                " canonical) select 'tr_' || encode(tx, 'hex'), chain, tx, block_hash, height,"
                " time, entity_id, asset, 0, 0, 0, amount, cast(:parties as jsonb), 'unknown_in',"
                " 0.5, cast(:evidence as jsonb), true from movement"
            ),
            {
                "parties": '[{"address": "an address", "name": null, "amount": "1", "key": "51"}]',
                "evidence": '[{"rule": "r", "says": "s", "weight": 0.1, "data": {}}]',
            },
        )


def analyse(database: Database) -> None:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("set statement_timeout = 0"))
        connection.execute(text("vacuum analyze"))


def time_index(database: Database) -> bool:
    """Whether the schema has the index by time; made here where it has not."""
    with database.transaction() as session:
        names = session.execute(
            text("select indexname, indexdef from pg_indexes where tablename = 'movement'")
        )
        if any('"time"' in found or " time" in found for _, found in names):
            return True
        session.execute(text("set local statement_timeout = 0"))
        session.execute(text(f'create index {_INDEX} on movement (wallet_id, asset, "time")'))
    return False


def measure(
    what: str, run: Callable[[], object], times: int = ASKED, *, budget: bool = True
) -> None:
    """Print the median and the 95th of 100 of `run`, in milliseconds."""
    run()
    took = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        took.append((time.perf_counter() - started) * 1000)
    took.sort()
    high = took[int(len(took) * 0.95)]
    verdict = ""
    if budget:
        verdict = f"budget {BUDGET_MS:.0f} ms {'met' if high <= BUDGET_MS else 'NOT met'}"
    print(f"{what:<44}{took[len(took) // 2]:8.1f} ms, p95{high:8.1f} ms  {verdict}", flush=True)


class Reads:
    """The reads of the API, each in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._settings = Settings()
        self._rng = random.Random(11)

    def holdings(self, at: Moment | None = None) -> object:
        with self._database.transaction(snapshot=True) as session:
            entity = registry.get_entity(session, "holder")
            heads = chains.heads(session, NOW, self._settings)
            return show_holdings(session, entity, heads, at=at).model_dump_json()

    def holdings_then(self) -> object:
        return self.holdings(Moment(START + (NOW - START) * self._rng.random()))

    def transfers(self, cursor: str | None = None) -> Any:
        with self._database.transaction(snapshot=True) as session:
            entity = registry.get_entity(session, "holder")
            heads = chains.heads(session, NOW, self._settings)
            page = ledger.transfers(
                session, entity, heads, networks=chains.networks(self._settings),
                before=decode_moment(cursor), limit=100,
            )  # fmt: skip
            page.model_dump_json()
            return page

    def history(self) -> object:
        with self._database.transaction(snapshot=True) as session:
            entity = registry.get_entity(session, "holder")
            heads = chains.heads(session, NOW, self._settings)
            return show_history(session, entity, heads, "BTC", None, None).model_dump_json()

    def changes(self) -> object:
        with self._database.transaction(snapshot=True) as session:
            entity = registry.get_entity(session, "holder")
            heads = chains.heads(session, NOW, self._settings)
            found = show_changes(session, entity, heads, None, None, None, limit=100)
            return found.model_dump_json()


def main() -> None:
    """Print the rows."""
    busy = os.getloadavg()[0]
    servers.open_run()
    try:
        with servers.fresh_database(servers.shared_servers(), "bench_queries") as url:
            database = Database(url)
            started = time.perf_counter()
            load(database)
            print(f"loaded {MOVEMENTS:,} movements in {time.perf_counter() - started:.0f} s")
            analyse(database)
            reads = Reads(database)
            if not time_index(database):
                print("the schema lacks an index of movements by time: it was made here")
                analyse(database)
            measure("holdings now", reads.holdings)
            measure("holdings at a past time", reads.holdings_then)
            measure("transfers, first page of 100", reads.transfers)
            cursor = encode_moment(START + (NOW - START) / 2, "tr_")
            measure("transfers, a page in the middle", lambda: reads.transfers(cursor))
            measure("history of 5 years", reads.history, 20, budget=False)
            measure("changes of a year", reads.changes, 20, budget=False)
            database.dispose()
    finally:
        servers.close_run()
    print(f"{os.cpu_count()} cores; {busy:.1f} processes ran beside it when this began")


if __name__ == "__main__":
    main()
