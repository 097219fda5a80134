"""The scan of Bitcoin: raw blocks, verified here, matched by script and outpoint."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from sqlmodel import Session

from tracker.chains.bitcoin.address import address_of
from tracker.chains.bitcoin.block import BlockScan, scan
from tracker.chains.bitcoin.pow import EPOCH_BLOCKS
from tracker.chains.check import check_scan
from tracker.chains.pool import BitcoinPool
from tracker.config import Settings
from tracker.db import Database
from tracker.domain.chain import FINAL_DEPTH, SAFE_DEPTH, BlockRef
from tracker.doorbell import Doorbell
from tracker.ledger import repository as ledger
from tracker.ledger.coins import repository as coins
from tracker.registry import descriptors
from tracker.registry.descriptors import Widened
from tracker.scanning.bitcoin_block import CHAIN, ReadingOptions, read_block
from tracker.scanning.chain_scan import Candidate, ChainScan, Clock, Settled, TickReport
from tracker.scanning.reading import BlockReading
from tracker.scanning.repository import WatchState

__all__ = ["BitcoinScan", "TickReport"]


class BitcoinScan(ChainScan):
    """Follows one Bitcoin chain."""

    chain = CHAIN
    widens = True
    window = FINAL_DEPTH + 1

    def __init__(
        self,
        database: Database,
        pool: BitcoinPool,
        settings: Settings,
        doorbell: Doorbell,
        clock: Clock,
    ) -> None:
        super().__init__(database, pool, settings, doorbell, clock)
        self._blocks = pool
        self._address_of = partial(address_of, network=settings.bitcoin_network)

    @property
    def network(self) -> str:
        """The network of the settings."""
        return self._settings.bitcoin_network

    @property
    def max_blocks(self) -> int:
        """How many blocks one tick applies at most."""
        return self._settings.bitcoin_max_blocks_per_tick

    @property
    def start_height(self) -> int | None:
        """The configured first block; None where none is."""
        return self._settings.bitcoin_start_height

    def first_block(self, block_hash: bytes, height: int) -> BlockRef:
        """The block at which the scan starts, as a source has it."""
        return scan(self._blocks.block(block_hash), frozenset(), frozenset()).ref(height)

    def fetch(self, height: int, block_hash: bytes, watch: WatchState) -> Candidate:
        """Scan the raw block; verify header, links, work and merkle root unless trusted."""
        scanned = scan(
            self._blocks.block(block_hash),
            watch.scripts,
            watch.outpoints,
            verify=self._settings.bitcoin_checks == "full",
        )
        block = self._check(scanned, height, block_hash)
        return Candidate(block, scanned, touched=bool(scanned.txs))

    def _check(self, scanned: BlockScan, height: int, asked: bytes) -> BlockRef:
        if self._settings.bitcoin_checks == "trusted":
            return scanned.ref(height)
        with self._database.transaction(snapshot=True) as session:
            previous = ledger.ancestor(session, CHAIN, height - 1, scanned.header.parent)
            epoch = ledger.ancestor(session, CHAIN, height - EPOCH_BLOCKS)
        return check_scan(
            scanned,
            height=height,
            network=self._settings.bitcoin_network,
            asked=asked,
            previous=previous,
            epoch_start=epoch,
        )

    def read(self, session: Session, candidate: Candidate, watch: WatchState) -> BlockReading:
        """What the block changes: movements, coins, transfers, sweeps of followed coins."""
        block = candidate.block
        followed = coins.followed_count(session, CHAIN, block.height)
        return read_block(
            session,
            candidate.content,
            block,
            watch_version=watch.version,
            scripts=watch.scripts,
            source=self._pool.served_by(block.hash) or self._pool.name,
            options=ReadingOptions(
                self._settings.follow_blocks,
                self._settings.follow_max_outpoints - followed,
                self._address_of,
            ),
        )

    def widen(self, session: Session, reading: BlockReading, now: datetime) -> Widened | None:
        """The addresses of descriptors that come within the gap of those the block used."""
        used = {move.key for move in reading.effects.movements}
        return descriptors.extend_matched(session, used, network=self.network, now=now)

    def settled(self, head: BlockRef) -> Settled:
        """By depth: 100 blocks are final, 6 are safe."""
        return Settled(head.height - FINAL_DEPTH + 1, head.height - SAFE_DEPTH + 1)
