"""SQL of the scan: what is watched, as bare bytes, and who scans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel import Session, col, select

from tracker.db import Database
from tracker.db.registry import Entity, Wallet, WatchSet
from tracker.ledger import repository as ledger

_LEASE_SPACE = 0x7363
_STREAM_ROWS = 10_000


@dataclass(slots=True)
class WatchState:
    """What a block is matched against, and the moment of which it is true.

    `scripts` are those of open wallets of enabled holders, `outpoints` our unspent coins and those
    followed; both as bare bytes, since a million of them must fit into a worker.
    """

    version: int
    cursor_hash: bytes
    scripts: set[bytes]
    outpoints: set[bytes]


def load_watch(session: Session, chain: str, height: int, cursor_hash: bytes) -> WatchState:
    """The watch set of a chain; read in a snapshot transaction."""
    version = session.exec(select(WatchSet.version).where(WatchSet.chain == chain)).first() or 0
    query = (
        select(Wallet.key)
        .join(Entity)
        .where(
            Wallet.chain == chain,
            col(Wallet.closed_at).is_(None),
            col(Entity.enabled),
            Entity.role == "holder",
        )
    )
    rows = session.exec(query.execution_options(yield_per=_STREAM_ROWS))
    return WatchState(
        version, cursor_hash, set(rows), ledger.unspent_outpoints(session, chain, height)
    )


@contextmanager
def scan_lease(database: Database, chain: str) -> Iterator[bool]:
    """Whether this process may scan `chain` now; saves work, while the cursor keeps the truth.

    An advisory lock on a connection of its own: it ends with the process, however that dies.
    """
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        key = {"space": _LEASE_SPACE, "chain": chain}
        got = connection.execute(
            text("select pg_try_advisory_lock(:space, hashtext(:chain))"), key
        ).scalar_one()
        try:
            yield bool(got)
        finally:
            if got:
                connection.execute(text("select pg_advisory_unlock(:space, hashtext(:chain))"), key)
