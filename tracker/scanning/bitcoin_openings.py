"""Openings of Bitcoin wallets: their unspent outputs by Esplora or `scantxoutset`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlmodel import Session

from tracker.chains.bitcoin.block import scan
from tracker.chains.pool import BitcoinPool
from tracker.chains.port import BitcoinSource, HistorySource, SnapshotSource
from tracker.db import Database
from tracker.db.registry import Wallet
from tracker.domain.chain import BlockRef
from tracker.domain.coins import UtxoSnapshot, advanced
from tracker.errors import CursorMovedError, NotFoundError, TooManyOutputsError
from tracker.ledger import repository as ledger
from tracker.ledger.opening import Opening
from tracker.registry import descriptors
from tracker.scanning.openings import Observed, OpeningReport, WalletOpenings, tenure_of

CHAIN = "bitcoin"
ASSET = "BTC"
# How many blocks an old snapshot is carried forward: a scan of all outputs takes minutes.
MAX_CARRY = 20
NO_SNAPSHOT = (
    "no configured source can list what an address holds: counted from its first block on; "
    "add an esplora or core source"
)


class BitcoinOpenings(WalletOpenings):
    """Snapshots by a source that lists unspent outputs; each learns which scripts are asked for."""

    chain = CHAIN

    def __init__(
        self,
        database: Database,
        pool: BitcoinPool,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(database)
        self._pool = pool
        self._network = pool.network() or ""
        self._clock = clock
        # A server with an index is asked script by script; a node reads everything once for all.
        self.batch = 20 if pool.offers(HistorySource) else 1000

    def tick(self) -> OpeningReport:
        """As any chain's; first the descriptors of which backfill dated a use are widened."""
        with self._database.transaction() as session:
            descriptors.extend_moved(session, network=self._network, now=self._clock())
        return super().tick()

    def widen(self, session: Session, wallets: Sequence[Wallet], used: frozenset[int]) -> bool:
        """Descriptors, beyond what was found on their addresses: coins now, or a use before."""
        places = descriptors.places_of(wallet for wallet in wallets if wallet.id in used)
        found = [
            descriptors.extend(session, places, network=self._network, now=self._clock()),
            descriptors.extend_moved(session, network=self._network, now=self._clock()),
        ]
        return any(found)

    def observe(self, block: BlockRef, wallets: Sequence[Wallet]) -> Observed:
        """The coins of each wallet at `block`; one at a time where they are too many for one."""
        if not self._pool.offers(SnapshotSource):
            return Observed(notes={wallet.id or 0: NO_SNAPSHOT for wallet in wallets})
        try:
            found = self._snapshot([wallet.key for wallet in wallets])
        except TooManyOutputsError as error:
            if len(wallets) == 1:
                return Observed(notes={wallets[0].id or 0: str(error)})
            parts = [self.observe(block, [wallet]) for wallet in wallets]
            return Observed(
                [opening for part in parts for opening in part.openings],
                {key: note for part in parts for key, note in part.notes.items()},
                frozenset().union(*(part.used for part in parts)),
            )
        found = self._carried(found, block)
        return Observed(
            [
                Opening(
                    wallet_id=wallet.id or 0,
                    tenure_id=tenure_of(wallet),
                    entity_id=wallet.entity_id,
                    key=wallet.key,
                    amounts={(ASSET, "liquid"): sum(c.amount for c in found.coins[wallet.key])},
                    coins=tuple(found.coins[wallet.key]),
                )
                for wallet in wallets
            ],
            used=self._used_before(
                [each for each in wallets if each.descriptor_id and not found.coins[each.key]]
            ),
        )

    def _used_before(self, wallets: Sequence[Wallet]) -> frozenset[int]:
        """Those that hold nothing but did: a gap goes by use. A node without an index cannot tell.

        Of the wallets of descriptors only; the source, which was asked for these scripts already,
        learns nothing more.
        """
        if not self._pool.offers(HistorySource):
            return frozenset()

        def used(source: BitcoinSource) -> frozenset[int]:
            if not isinstance(source, HistorySource):
                raise _cannot(source, "has no history of scripts", "add an esplora source")
            return frozenset(
                wallet.id or 0
                for wallet in wallets
                if source.history(wallet.key, 1).transactions
            )

        return self._pool.ask(used) if wallets else frozenset()

    def _snapshot(self, scripts: list[bytes]) -> UtxoSnapshot:
        def read(source: BitcoinSource) -> UtxoSnapshot:
            if isinstance(source, SnapshotSource):
                return source.snapshot(scripts)
            raise _cannot(source, "lists no outputs", "add an esplora or core source")

        return self._pool.ask(read)

    def _carried(self, found: UtxoSnapshot, block: BlockRef) -> UtxoSnapshot:
        """The snapshot as of `block`: itself, or carried over the blocks that were applied since.

        Raises `CursorMovedError` where the ledger has yet to reach it, or has left it far behind.
        """
        if found.tip.hash == block.hash:
            return found
        behind = block.height - found.tip.height
        with self._database.transaction(snapshot=True) as session:
            recent = ledger.recent_blocks(session, CHAIN, MAX_CARRY + 1)
        above = [each for each in recent if found.tip.height < each.height <= block.height]
        if not 0 < behind <= MAX_CARRY or not above or above[0].parent != found.tip.hash:
            raise CursorMovedError(
                "the snapshot is of another block than the ledger",
                field="height",
                value=f"snapshot {found.tip.height}, ledger {block.height}",
                mend="it is taken again",
            )
        for each in above:
            outpoints = {coin.outpoint for held in found.coins.values() for coin in held}
            scanned = scan(self._pool.block(each.hash), found.coins, outpoints, verify=True)
            found = advanced(found, scanned.txs, each)
        return found


def _cannot(source: BitcoinSource, what: str, mend: str) -> NotFoundError:
    """Makes the pool ask the next source."""
    return NotFoundError(f"this source {what}", field="source", value=source.name, mend=mend)
