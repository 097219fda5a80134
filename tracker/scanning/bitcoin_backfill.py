"""Backfill of Bitcoin wallets: whole blocks from a low height up, their coins followed on the way.

A range that begins above the first use of an address cannot see the spending of what it held
before; from block 0, or the first use, it is exact.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from functools import partial

from sqlmodel import Session

from tracker.chains.bitcoin.address import address_of
from tracker.chains.bitcoin.block import scan
from tracker.chains.bitcoin.pow import EPOCH_BLOCKS
from tracker.chains.check import check_scan
from tracker.chains.pool import BitcoinPool
from tracker.config import Settings
from tracker.db import Database
from tracker.db.reconciliation import BackfillJob
from tracker.db.registry import Wallet
from tracker.detection.news import NewsPolicy
from tracker.domain.match import outpoint_of
from tracker.ledger.coins import repository as coins
from tracker.ledger.repository import Ancestor
from tracker.scanning.backfill import Backfill, Fetched
from tracker.scanning.bitcoin_block import CHAIN, ReadingOptions, read_block
from tracker.scanning.reading import BlockReading


class BitcoinBackfill(Backfill):
    """Reads raw blocks, verified like those at the head unless trusted."""

    chain = CHAIN
    remainder_says = ""

    def __init__(
        self,
        database: Database,
        pool: BitcoinPool,
        settings: Settings,
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(
            database, pool, NewsPolicy.of(settings), clock, settings.bitcoin_network
        )
        self._blocks = pool
        self._trusted = settings.bitcoin_checks == "trusted"
        self._options = ReadingOptions(
            0, 0, partial(address_of, network=settings.bitcoin_network)
        )
        self._scripts: set[bytes] = set()
        self._outpoints: set[bytes] = set()
        self._epoch: OrderedDict[int, Ancestor] = OrderedDict()

    def start(self, job: BackfillJob, wallets: dict[int, Wallet]) -> None:
        """What the wallets can spend from the first block left to read on."""
        self._scripts = {wallet.key for wallet in wallets.values()}
        self._epoch.clear()
        with self._database.transaction(snapshot=True) as session:
            self._outpoints = coins.spendable_from(session, CHAIN, self._scripts, job.next_height)

    def fetch(self, height: int, block_hash: bytes) -> bytes:
        """The raw block."""
        return self._blocks.block(block_hash)

    def examine(self, height: int, block_hash: bytes, raw: bytes) -> Fetched:
        """Scan and check a block; what pays the wallets can be spent in the next one."""
        found = scan(raw, self._scripts, self._outpoints, verify=not self._trusted)
        if self._trusted:
            block = found.ref(height)
        else:
            block = check_scan(
                found,
                height=height,
                network=self._network,
                asked=block_hash,
                previous=self._epoch.get(height - 1),
                epoch_start=self._epoch.get(height - EPOCH_BLOCKS),
            )
            self._epoch[height] = Ancestor(block.hash, block.time, found.header.bits)
            if len(self._epoch) > EPOCH_BLOCKS:
                self._epoch.popitem(last=False)
        for tx in found.txs:
            for out in tx.outputs:
                if out.script in self._scripts:
                    self._outpoints.add(outpoint_of(tx.txid, out.index))
        return Fetched(block, found, touched=bool(found.txs))

    def read(self, session: Session, fetched: Fetched) -> BlockReading:
        """As the live scan reads it; coins are not followed in history."""
        return read_block(
            session,
            fetched.content,
            fetched.block,
            watch_version=0,
            scripts=self._scripts,
            source=self._pool.name,
            options=self._options,
        )
