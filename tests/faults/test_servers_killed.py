"""The real fleet while its own PostgreSQL and Valkey are killed: it waits, recovers and goes on."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from redis.exceptions import ConnectionError as BrokerGone

from tests.fleet import Fleet, Listener
from tests.folders import passable_folder
from tests.regtest import RegtestChain, key
from tests.scene import FEE, FIRST, FUNDS, NETWORK
from tests.servers import redis_client
from tracker.chains.bitcoin.address import address_of

UNPUBLISHED: LiteralString = "select count(*) from event where cursor is null"
ENDPOINTS: LiteralString = "select count(*) from endpoint"
VENUE = "chain,address,name,category,tier\nbitcoin,{},Bourse,exchange,attested\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    with passable_folder() as made:
        yield made


@pytest.mark.timeout(180)
def test_killed_servers_and_a_flushed_broker_only_delay_the_fleet(folder: Path) -> None:
    chain = RegtestChain(mature=False)
    holder, venue = chain.add_key(key(1)), chain.add_key(key(2))
    chain.mine(FIRST - 1)
    blocks = chain.write_folder(folder / "blocks")
    fleet = Fleet(
        folder,
        TRACKER_BITCOIN_NETWORK=NETWORK,
        TRACKER_BITCOIN_SOURCES=f"files:{blocks}",
        TRACKER_BITCOIN_START_HEIGHT=str(FIRST - 1),
        # The chain's clock began in 2011: what happens on it is news all the same.
        TRACKER_NEWS_MAX_AGE_HOURS="10000000",
    )
    listener = None
    try:
        fleet.start()
        fleet.until(lambda: _cursor(fleet) == FIRST - 1, "the first block")
        fleet.run("entities", "add", "acme", "--name", "Acme", "--kind", "dat")
        fleet.run("wallets", "add", "acme", "bitcoin", _address(holder), "--tier", "attested")
        (folder / "pack.csv").write_text(VENUE.format(_address(venue)))
        fleet.run("labels", "import", str(folder / "pack.csv"), "--name", "venues")
        # What the bundled filings tell comes before the receiver registers.
        fleet.until(lambda: not _count(fleet, UNPUBLISHED), "the old news")
        listener = Listener(fleet)
        fleet.until(lambda: _count(fleet, ENDPOINTS), "the receiver's endpoint")
        chain.mine(1, txs=[chain.spend(chain.coinbase(1), [(holder, FUNDS)], fee=FEE)])
        chain.write_folder(blocks)
        fleet.until(lambda: _transfers(fleet), "the inflow")
        ledger = _ledger(fleet)
        assert _balance(fleet) == FUNDS

        coin = next(u for u in chain.tip.utxos if u.script == holder)
        chain.mine(1, txs=[chain.spend(coin, [(venue, 10**9)], change=holder)])
        _kill(fleet, "postgres", times=3)
        chain.write_folder(blocks)
        opened = listener.next(60)
        assert opened["type"] == "sell_off.opened"
        assert opened["data"]["entity"]["slug"] == "acme"
        assert opened["data"]["amount"] == "1000000000"
        _kept(fleet, ledger)
        ledger = _ledger(fleet)

        _kill(fleet, "valkey", times=3)
        fleet.until(lambda: _flushed(fleet), "the broker again")
        left = next(u for u in chain.tip.utxos if u.script == holder)
        chain.mine(1, txs=[chain.spend(left, [(venue, 10**9)], change=holder)])
        chain.write_folder(blocks)
        revised = listener.next(60)
        assert revised["type"] == "sell_off.revised"
        assert int(revised["sequence"]) == int(opened["sequence"]) + 1
        assert revised["data"]["alert_id"] == opened["data"]["alert_id"]
        _kept(fleet, ledger)

        # The ledger is that of the chain: nothing lost, nothing twice.
        assert _cursor(fleet) == chain.height
        assert len(_transfers(fleet)) == 3
        assert _balance(fleet) == sum(u.amount for u in chain.tip.utxos if u.script == holder)
        feed = fleet.get("/v1/events?after=0&limit=500")["items"]
        assert [item["cursor"] for item in feed] == list(range(1, len(feed) + 1))
        ours = [item["id"] for item in feed if item["data"]["entity"]["slug"] == "acme"]
        assert ours == [opened["id"], revised["id"]]
        fleet.until(fleet.ready, "ready")
        _no_secret_in_logs(fleet)
    finally:
        if listener is not None:
            listener.stop()
        assert fleet.stop() == 0


def _address(locked: bytes) -> str:
    found = address_of(locked, NETWORK)
    assert found is not None
    return found


def _kill(fleet: Fleet, name: str, times: int) -> None:
    """SIGKILL one of the servers, and each that is started in its place but the last.

    The pause before each next start grows: three deaths in a row are an outage of some seconds.
    """
    for _ in range(times):
        before = fleet.child(name)
        os.kill(before, signal.SIGKILL)
        fleet.until(partial(_another, fleet, name, before), f"another {name}")


def _another(fleet: Fleet, name: str, before: int) -> bool:
    """Whether a child with another process id runs; there is none between death and start."""
    try:
        return fleet.child(name) != before
    except FileNotFoundError:
        return False


def _record(fleet: Fleet) -> dict[str, str]:
    text = (fleet.folder / "data" / "run" / "servers.json").read_text()
    return {name: str(value) for name, value in json.loads(text).items()}


def _flushed(fleet: Fleet) -> bool:
    """Throw away every doorbell that waits; False while the broker does not answer."""
    with redis_client(_record(fleet)["redis_url"]) as broker:
        try:
            return bool(broker.flushall())
        except BrokerGone:
            return False


def _cursor(fleet: Fleet) -> int | None:
    chains = fleet.get("/v1/entities/strategy/holdings")["chains"]
    height: int | None = next(c["height"] for c in chains if c["chain"] == "bitcoin")
    return height


def _transfers(fleet: Fleet) -> dict[str, object]:
    return {t["id"]: t for t in fleet.get("/v1/entities/acme/transfers")["items"]}


def _balance(fleet: Fleet) -> int:
    (asset,) = fleet.get("/v1/entities/acme/holdings")["assets"]
    return int(asset["onchain"]["amount"])


def _dsn(fleet: Fleet) -> str:
    return _record(fleet)["database_url"].replace("postgresql+psycopg", "postgresql", 1)


def _ledger(fleet: Fleet) -> set[tuple[object, ...]]:
    """Every movement with the transaction that wrote it: one written anew would differ."""
    with psycopg.connect(_dsn(fleet), connect_timeout=5) as connection:
        rows = connection.execute("select xmin::text, tx, ref, amount from movement")
        return set(rows.fetchall())


def _count(fleet: Fleet, query: LiteralString) -> int:
    with psycopg.connect(_dsn(fleet), connect_timeout=5) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])


def _kept(fleet: Fleet, earlier: set[tuple[object, ...]]) -> None:
    assert earlier
    assert earlier < _ledger(fleet)


def _no_secret_in_logs(fleet: Fleet) -> None:
    """Connection errors tell of addresses: never of the passwords in them."""
    data = fleet.folder / "data"
    secrets = [(data / "admin.key").read_text().strip()]
    for name in ("database_url", "redis_url"):
        found = re.search(r":([^:@/]+)@", _record(fleet)[name])
        assert found is not None
        secrets.append(found[1])
    logs = [*(data / "logs").iterdir(), fleet.folder / "up.log"]
    assert any("cannot be reached" in log.read_text(errors="replace") for log in logs)
    for log in logs:
        assert not any(secret in log.read_text(errors="replace") for secret in secrets), log.name
