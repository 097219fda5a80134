"""Where the scan of each chain stands, and the block that a balance is of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tracker.api.schemas.common import Chain
from tracker.api.schemas.holdings import BlockRef
from tracker.chains.address import BITCOIN, ETHEREUM
from tracker.chains.ethereum.network import network_name
from tracker.config import Settings
from tracker.db.chain import Cursor
from tracker.db.session import Session
from tracker.errors import ConflictError, NotFoundError
from tracker.ledger import repository as ledger
from tracker.ledger.history import repository as history
from tracker.operations import repository as operations

# The chain's own coin.
COIN = {BITCOIN: "BTC", ETHEREUM: "ETH"}
# Bitcoin: twelve times its ten minutes; an honest gap of that length is one in some 160,000 blocks.
# Ethereum: fifty slots of twelve seconds.
LAGGING_AFTER = {BITCOIN: timedelta(hours=2), ETHEREUM: timedelta(minutes=10)}
# How many blocks below its sources a scan is no longer at the head: about as long.
BEHIND_BY = {BITCOIN: 12, ETHEREUM: 50}
_SETTING = {BITCOIN: "TRACKER_BITCOIN_SOURCES", ETHEREUM: "TRACKER_ETHEREUM_RPC_URLS"}


def chain_of(asset: str) -> str:
    """The chain on which an asset lives: every token is on Ethereum."""
    return BITCOIN if asset == COIN[BITCOIN] else ETHEREUM


@dataclass(frozen=True, slots=True)
class Heads:
    """The cursors of all chains at one moment, and which chains have a source configured.

    `tips` are the heights that the sources of each chain last showed.
    """

    by_chain: dict[str, Cursor]
    now: datetime
    followed: Collection[str] = tuple(COIN)
    tips: Mapping[str, int] = field(default_factory=dict)

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
            hash=hash_text(chain, block_hash),
            finality=self.finality_at(chain, height if changed_at is None else changed_at),
        )

    def finality_at(self, chain: str, height: int) -> str:
        """How settled a canonical block at `height` is, by what its scan last learnt.

        Bitcoin is final by depth, Ethereum by its nodes' tags; the cursor keeps both as heights.
        """
        cursor = self.by_chain.get(chain)
        if cursor is None or height > cursor.safe_height:
            return "latest"
        return "final" if height <= cursor.final_height else "safe"

    def views(self) -> list[Chain]:
        """Every chain with its lag in seconds; one that is not scanned says so."""
        return [self._view(chain) for chain in sorted(COIN)]

    def missing(self, chain: str) -> str:
        """Why no block of `chain` was ever scanned."""
        if chain in self.followed:
            return f"no block of {chain} has been scanned yet"
        return f"no source of {chain} is configured ({_SETTING[chain]})"

    def _view(self, chain: str) -> Chain:
        cursor = self.by_chain.get(chain)
        if cursor is None:
            return Chain(
                chain=chain,
                height=None,
                hash=None,
                final_height=None,
                safe_height=None,
                tip_advanced_at=None,
                lag_seconds=None,
                state="not_started" if chain in self.followed else "not_configured",
                reason=self.missing(chain),
            )
        lag = max(timedelta(0), self.now - cursor.tip_advanced_at)
        state, reason = "ok", None
        if cursor.halted is not None:
            state, reason = "halted", cursor.halted
        elif chain not in self.followed:
            state, reason = "not_configured", f"{self.missing(chain)} any more"
        elif lag > LAGGING_AFTER[chain]:
            state, reason = "lagging", "the newest block is old; see the sources"
        elif self.tips.get(chain, 0) - cursor.height > BEHIND_BY[chain]:
            state, reason = "lagging", f"catching up: block {cursor.height} of {self.tips[chain]}"
        return Chain(
            chain=chain,
            height=cursor.height,
            hash=hash_text(chain, cursor.hash),
            final_height=None if cursor.final_height < 0 else cursor.final_height,
            safe_height=None if cursor.safe_height < 0 else cursor.safe_height,
            tip_advanced_at=cursor.tip_advanced_at,
            lag_seconds=int(lag.total_seconds()),
            state=state,
            reason=reason,
        )


def heads(session: Session, now: datetime, settings: Settings) -> Heads:
    """The cursors of every chain, and how high its sources are."""
    sources = {BITCOIN: settings.bitcoin_sources, ETHEREUM: settings.ethereum_rpc_urls}
    followed = tuple(chain for chain, given in sources.items() if given)
    tips: dict[str, int] = {}
    for row in operations.list_sources(session):
        chain = row.kind.partition("_")[0]
        if row.state == "ok" and row.height is not None:
            tips[chain] = max(tips.get(chain, 0), row.height)
    return Heads(history.cursors(session), now, followed, tips)


def networks(settings: Settings) -> dict[str, str]:
    """The network of each chain, as explorers know it."""
    return {
        BITCOIN: settings.bitcoin_network,
        ETHEREUM: network_name(settings.ethereum_chain_id),
    }


def hash_text(chain: str, found: bytes) -> str:
    """A block or transaction hash as people write it on its chain."""
    return f"0x{found.hex()}" if chain == ETHEREUM else found.hex()


def resume(session: Session, chain: str) -> str:
    """Let a halted chain go on; returns what had halted it.

    Raises `NotFoundError` for no chain, `ConflictError` where it is not halted (any more).
    """
    if chain not in COIN:
        raise NotFoundError(
            "no such chain", field="chain", value=chain, mend=f"use {' or '.join(sorted(COIN))}"
        )
    cursor = ledger.cursor_of(session, chain)
    if cursor is None or cursor.halted is None:
        raise ConflictError(
            "this chain is not halted", field="chain", value=chain, mend="nothing is to be done"
        )
    why = cursor.halted
    ledger.halt(session, chain, None)
    return why
