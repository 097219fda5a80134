"""Openings: what new wallets hold, as a snapshot at the block where the ledger stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from sqlmodel import Session

from tracker.db import Database
from tracker.db.registry import Wallet
from tracker.domain.chain import BlockRef
from tracker.errors import CursorMovedError, SourceUnavailableError
from tracker.ledger import repository as ledger
from tracker.ledger.opening import Opening, open_wallets
from tracker.log import get_logger
from tracker.registry import repository as registry

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OpeningReport:
    """What one tick did: wallets opened and refused; `waiting` says why none could be looked at."""

    opened: int = 0
    refused: int = 0
    more: bool = False
    waiting: str | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What sources showed of some wallets: openings, and why others have none, by wallet id."""

    openings: Sequence[Opening] = ()
    notes: dict[int, str] = field(default_factory=dict)
    used: frozenset[int] = frozenset()  # hold nothing, but did once


class WalletOpenings(ABC):
    """Takes the openings of one chain's wallets, a batch a tick."""

    chain: ClassVar[str]
    batch: int

    def __init__(self, database: Database) -> None:
        self._database = database
        # A wallet that every source refused is not asked for again by this process.
        self._refused: set[int] = set()

    @abstractmethod
    def observe(self, block: BlockRef, wallets: Sequence[Wallet]) -> Observed:
        """What `wallets` hold at `block`.

        Raises `CursorMovedError` where no source is at that block, `SourceUnavailableError` where
        none answers.
        """

    def widen(self, session: Session, wallets: Sequence[Wallet], used: frozenset[int]) -> bool:
        """Watch what these openings call for; whether there was anything. The set is bumped."""
        return False

    def tick(self) -> OpeningReport:
        """Open one batch of the wallets that wait; harmless to run twice, or beside a scan."""
        with self._database.transaction(snapshot=True) as session:
            waiting = registry.unopened(session, self.chain, self.batch + len(self._refused))
            head = ledger.recent_blocks(session, self.chain, 1)
            cursor = ledger.cursor_of(session, self.chain)
        wallets = [wallet for wallet in waiting if wallet.id not in self._refused][: self.batch]
        if not wallets:
            return OpeningReport()
        if cursor is None or not head or head[0].hash != cursor.hash:
            return OpeningReport(waiting="no block has been applied yet")
        if cursor.halted is not None:
            return OpeningReport(waiting="the chain is halted")
        try:
            found = self.observe(head[0], wallets)
            with self._database.transaction() as session:
                # The lock comes first: whoever closes a wallet bumps the watch set before.
                registry.lock_watch_set(session, self.chain, to_bump=True)
                wanted = registry.still_unopened(
                    session, [opening.wallet_id for opening in found.openings]
                )
                openings = [each for each in found.openings if each.wallet_id in wanted]
                open_wallets(session, self.chain, head[0], openings)
                registry.note_openings(session, found.notes)
                widened = self.widen(session, wallets, found.used)
        except (CursorMovedError, SourceUnavailableError) as error:
            return OpeningReport(waiting=str(error))
        self._refused.update(found.notes)
        if openings or found.notes:
            log.info(
                "wallets_opened",
                chain=self.chain,
                height=head[0].height,
                opened=len(openings),
                refused=len(found.notes),
            )
        more = widened or len(wallets) == self.batch
        return OpeningReport(len(openings), len(found.notes), more=more)


def tenure_of(wallet: Wallet) -> int:
    """The wallet row under which the ledger counts this one."""
    found = wallet.tenure_id or wallet.id
    if found is None:
        raise ValueError("a wallet that was never stored has no tenure")
    return found
