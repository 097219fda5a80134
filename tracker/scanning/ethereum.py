"""The scan of Ethereum: blocks by hash, receipts and traces, matched by address."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlmodel import Session

from tracker.chains.ethereum.assets import MAINNET, AssetTable
from tracker.chains.ethereum.block_moves import block_moves
from tracker.chains.ethereum.pool import EthereumPool, Settlement
from tracker.chains.ethereum.records import Header
from tracker.config import Settings
from tracker.db import Database
from tracker.domain.chain import BlockRef, Tip
from tracker.doorbell import Doorbell
from tracker.ledger import repository as ledger
from tracker.scanning.chain_scan import Candidate, ChainScan, Clock, Settled
from tracker.scanning.ethereum_block import CHAIN, WatchedMoves, read_block
from tracker.scanning.reading import BlockReading
from tracker.scanning.repository import WatchState

# Where a node knows no `finalized` tag: three epochs, one more than finality usually takes.
UNTAGGED_FINAL_DEPTH = 96


class EthereumScan(ChainScan):
    """Follows one Ethereum chain."""

    chain = CHAIN
    window = UNTAGGED_FINAL_DEPTH + 1

    def __init__(
        self,
        database: Database,
        pool: EthereumPool,
        settings: Settings,
        doorbell: Doorbell,
        clock: Clock,
        assets: AssetTable = MAINNET,
    ) -> None:
        super().__init__(database, pool, settings, doorbell, clock)
        self._nodes = pool
        self._assets = assets
        self._said: Settlement | None = None

    @property
    def network(self) -> str:
        """The network of the settings."""
        return self._nodes.network() or "unknown"

    @property
    def max_blocks(self) -> int:
        """How many blocks one tick applies at most."""
        return self._settings.ethereum_max_blocks_per_tick

    @property
    def start_height(self) -> int | None:
        """The configured first block; None where none is."""
        return self._settings.ethereum_start_height

    def begin(self) -> None:
        """Ask for the tags again: once a tick is often enough."""
        self._said = None

    def first_block(self, block_hash: bytes, height: int) -> BlockRef:
        """The block at which the scan starts, as a source has it."""
        return ref_of(self._nodes.header(height))

    def fetch(self, height: int, block_hash: bytes, watch: WatchState) -> Candidate:
        """The block whole, with its receipts and, where a source has them, its traces."""
        records = self._nodes.block(block_hash)
        if watch.scripts and records.traces is None:
            records.traces = self._nodes.traces(block_hash)
        moves = block_moves(records, watch.scripts, self._assets)
        found = WatchedMoves(moves, records.traces is not None)
        return Candidate(ref_of(records.block), found, touched=bool(moves))

    def read(self, session: Session, candidate: Candidate, watch: WatchState) -> BlockReading:
        """What the block changes: movements and transfers."""
        block = candidate.block
        return read_block(
            session,
            candidate.content,
            block,
            watch_version=watch.version,
            source=self._pool.served_by(block.hash) or self._pool.name,
        )

    def settled(self, head: BlockRef) -> Settled:
        """By the node's `finalized` and `safe` tags, never above `head`.

        A tag on another branch than ours settles nothing: the fork has to be followed first.
        """
        if self._said is None:
            self._said = self._nodes.settlement()
        final, safe = self._said.final_block, self._said.safe_block
        below = -1 if final is None or not self._ours(final, head) else final.height
        if final is None:
            below = head.height - UNTAGGED_FINAL_DEPTH
        above = safe.height if safe is not None and self._ours(safe, head) else below
        return Settled(min(below, head.height), min(above, head.height))

    def _ours(self, tip: Tip, head: BlockRef) -> bool:
        """Whether a tagged block is on our branch; one above `head` is, as far as we have come."""
        if tip.height >= head.height:
            return tip.height > head.height or tip.hash == head.hash
        with self._database.transaction(snapshot=True) as session:
            known = ledger.blocks_at(session, CHAIN, [tip.height]).get(tip.height)
        return known is None or known.hash == tip.hash


def ref_of(header: Header) -> BlockRef:
    """A header as a link of the chain."""
    return BlockRef(
        int(header.number, 16),
        bytes.fromhex(header.hash[2:]),
        bytes.fromhex(header.parent_hash[2:]),
        datetime.fromtimestamp(int(header.timestamp, 16), UTC),
    )
