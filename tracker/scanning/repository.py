"""SQL of the scan: what is watched, as bare bytes, and who scans."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlmodel import Session, col, select

from tracker.db import Database
from tracker.db.lease import lease
from tracker.db.registry import Entity, Wallet, WatchSet
from tracker.ledger.coins import repository as coins

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


def watched_keys(session: Session, chain: str) -> set[bytes]:
    """The keys of all open wallets of enabled holders on a chain."""
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
    return set(session.exec(query.execution_options(yield_per=_STREAM_ROWS)))


def load_watch(session: Session, chain: str, height: int, cursor_hash: bytes) -> WatchState:
    """The watch set of a chain; read in a snapshot transaction."""
    version = session.exec(select(WatchSet.version).where(WatchSet.chain == chain)).first() or 0
    return WatchState(
        version,
        cursor_hash,
        watched_keys(session, chain),
        coins.unspent_outpoints(session, chain, height),
    )


def scan_lease(database: Database, chain: str) -> AbstractContextManager[bool]:
    """Whether this process may scan `chain` now; the cursor's compare-and-swap keeps the truth."""
    return lease(database, _LEASE_SPACE, chain)
