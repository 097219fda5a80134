"""The worker's side of a request: probe the wallets that it names, then say what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from tracker.db import Database
from tracker.db.registry import Wallet
from tracker.errors import NotFoundError, RetryableError
from tracker.reconciliation import repository
from tracker.reconciliation.asked import repository as requests
from tracker.registry import repository as registry

BATCH = 100


class Report(Protocol):
    """What one tick of a chain's reconciliation did."""

    @property
    def height(self) -> int | None:
        """The block at which it looked."""

    @property
    def probed(self) -> int:
        """Balances asked for."""

    @property
    def agreed(self) -> int:
        """Those that the ledger agreed with."""

    @property
    def skipped(self) -> str | None:
        """Why nothing was done."""


Tick = Callable[[Sequence[Wallet]], Report]


def answer_requests(
    database: Database, ticks: Mapping[str, Tick], clock: Callable[[], datetime]
) -> int:
    """Answer every waiting request with the reconciliation of each chain; returns how many.

    `ticks` by chain take the wallets to probe. A chain whose sources are silent says so in the
    answer, since the next tick looks at what is due by itself.
    """
    with database.transaction(snapshot=True) as session:
        waiting = requests.waiting(session)
    for request in waiting:
        done = {
            chain: _reconcile(database, chain, tick, request.entity)
            for chain, tick in sorted(ticks.items())
        }
        with database.transaction() as session:
            requests.answer(session, request, done, clock())
    return len(waiting)


def _reconcile(
    database: Database, chain: str, tick: Tick, slug: str | None
) -> dict[str, int | str | None]:
    with database.transaction(snapshot=True) as session:
        try:
            entity_id = None if slug is None else registry.get_entity(session, slug).id
        except NotFoundError as error:
            return {"skipped": str(error)}
        wallets = repository.open_wallets_of(session, chain, entity_id)
    found: dict[str, int | str | None] = {
        "wallets": len(wallets), "height": None, "probed": 0, "agreed": 0, "skipped": None,
    }  # fmt: skip
    probed = agreed = 0
    for start in range(0, len(wallets), BATCH):
        try:
            report = tick(wallets[start : start + BATCH])
        except RetryableError as error:
            return {**found, "skipped": str(error)}
        probed, agreed = probed + report.probed, agreed + report.agreed
        found |= {"height": report.height, "probed": probed, "agreed": agreed}
        if report.skipped is not None:
            return {**found, "skipped": report.skipped}
    return found
