"""Where the scan of each chain stands, and the block that a balance is of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tracker.api.schemas.common import Chain
from tracker.api.schemas.holdings import BlockRef
from tracker.db.chain import Cursor
from tracker.db.session import Session
from tracker.domain.chain import finality
from tracker.ledger import repository as ledger

# The chain on which each asset lives, and the chains that are scanned.
CHAIN_OF = {"BTC": "bitcoin", "ETH": "ethereum"}
SCANNED = ("bitcoin",)
# Twelve times Bitcoin's ten minutes: an honest gap of that length is one in some 160,000 blocks.
LAGGING_AFTER = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Heads:
    """The cursors of all chains at one moment."""

    by_chain: dict[str, Cursor]
    now: datetime

    def block(
        self,
        chain: str,
        changed_at: int | None = None,
        stood_in: tuple[int, bytes] | None = None,
    ) -> BlockRef | None:
        """The newest block scanned on `chain`, or the earlier one `stood_in`; None before any.

        Its finality is that of the last change, at height `changed_at`: how settled the number is.
        """
        cursor = self.by_chain.get(chain)
        if cursor is None:
            return None
        height, block_hash = stood_in or (cursor.height, cursor.hash)
        return BlockRef(
            chain=chain,
            height=height,
            hash=block_hash.hex(),
            finality=self.finality_at(chain, height if changed_at is None else changed_at),
        )

    def finality_at(self, chain: str, height: int) -> str:
        """How settled a canonical block at `height` is."""
        cursor = self.by_chain.get(chain)
        return "latest" if cursor is None else finality(min(height, cursor.height), cursor.height)

    def views(self) -> list[Chain]:
        """Every chain with its lag in seconds; one that is not scanned says so."""
        return [self._view(chain) for chain in sorted(set(CHAIN_OF.values()))]

    def _view(self, chain: str) -> Chain:
        cursor = self.by_chain.get(chain)
        if cursor is None:
            scanned = chain in SCANNED
            why = "no block has been scanned yet" if scanned else "this chain is not scanned"
            return Chain(
                chain=chain,
                height=None,
                hash=None,
                lag_seconds=None,
                state="not_started",
                reason=why,
            )
        lag = max(timedelta(0), self.now - cursor.tip_advanced_at)
        state, reason = "ok", None
        if cursor.halted is not None:
            state, reason = "halted", cursor.halted
        elif lag > LAGGING_AFTER:
            state, reason = "lagging", "the newest block is old; see the sources"
        return Chain(
            chain=chain,
            height=cursor.height,
            hash=cursor.hash.hex(),
            lag_seconds=int(lag.total_seconds()),
            state=state,
            reason=reason,
        )


def heads(session: Session, now: datetime) -> Heads:
    """The cursors of every chain."""
    found = {chain: ledger.cursor_of(session, chain) for chain in sorted(set(CHAIN_OF.values()))}
    return Heads({chain: cursor for chain, cursor in found.items() if cursor is not None}, now)


def explorer_url(chain: str, network: str, tx: str) -> str | None:
    """A public page that shows a transaction; None for a chain that no public page shows."""
    if chain == "ethereum":
        return f"https://etherscan.io/tx/0x{tx.removeprefix('0x')}"
    part = {"mainnet": "", "testnet": "testnet/", "signet": "signet/"}.get(network)
    return None if part is None else f"https://mempool.space/{part}tx/{tx}"
