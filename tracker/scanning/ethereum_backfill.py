"""Backfill of Ethereum wallets: whole blocks with receipts and, where offered, traces."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlmodel import Session

from tracker.chains.ethereum.assets import ETHER, MAINNET, AssetTable
from tracker.chains.ethereum.block_moves import block_moves
from tracker.chains.ethereum.pool import EthereumPool
from tracker.chains.ethereum.records import BlockRecords
from tracker.config import Settings
from tracker.db import Database
from tracker.db.reconciliation import BackfillJob
from tracker.db.registry import Wallet
from tracker.detection.news import NewsPolicy
from tracker.scanning.backfill import Backfill, Fetched
from tracker.scanning.ethereum import ref_of
from tracker.scanning.ethereum_block import CHAIN, WatchedMoves, read_block
from tracker.scanning.reading import BlockReading
from tracker.scanning.repository import watched_keys


class EthereumBackfill(Backfill):
    """Reads blocks by hash, checked like those at the head."""

    chain = CHAIN
    remainder_says = (
        "moved inside transactions, rebased or staked: what sources without traces do not itemise"
    )

    def __init__(
        self,
        database: Database,
        pool: EthereumPool,
        settings: Settings,
        clock: Callable[[], datetime],
        assets: AssetTable = MAINNET,
    ) -> None:
        super().__init__(
            database, pool, NewsPolicy.of(settings), clock, pool.network() or "unknown"
        )
        self._nodes = pool
        self._assets = assets
        self.probed = [(ETHER, "liquid")] + [(t.symbol, str(t.bucket)) for t in assets.tokens]
        self._keys: set[bytes] = set()
        self._everybody: set[bytes] = set()

    def start(self, job: BackfillJob, wallets: dict[int, Wallet]) -> None:
        """The addresses of the range, and everybody's: a transfer has two sides."""
        self._keys = {wallet.key for wallet in wallets.values()}
        with self._database.transaction(snapshot=True) as session:
            self._everybody = watched_keys(session, CHAIN) | self._keys

    def fetch(self, height: int, block_hash: bytes) -> BlockRecords:
        """The block whole, with its traces where a source offers them."""
        records = self._nodes.block(block_hash)
        records.traces = self._nodes.traces(block_hash)
        return records

    def examine(self, height: int, block_hash: bytes, raw: BlockRecords) -> Fetched:
        """Match a block; one that touches the range's addresses is matched for everybody."""
        moves = block_moves(raw, self._keys, self._assets)
        if moves:
            moves = block_moves(raw, self._everybody, self._assets)
        content = WatchedMoves(moves, raw.traces is not None)
        return Fetched(ref_of(raw.block), content, touched=bool(moves))

    def read(self, session: Session, fetched: Fetched) -> BlockReading:
        """As the live scan reads it."""
        return read_block(
            session, fetched.content, fetched.block, watch_version=0, source=self._pool.name
        )
