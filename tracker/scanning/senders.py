"""Senders that a block did not reveal, asked for afterwards: never in the scan.

A block is fetched again, which tells nobody anything; then a source is asked for the coins that
one of its transactions spent, which shows it the transaction. What is told is believed as far as
the source's port says, and changes counterparties and belief of the transfer, never an amount.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Literal

from tracker.chains.bitcoin import enrich
from tracker.chains.bitcoin.address import address_of
from tracker.chains.bitcoin.block import scan
from tracker.chains.pool import BitcoinPool
from tracker.chains.port import BitcoinSource, SenderSource
from tracker.db import Database
from tracker.db.chain import Transfer
from tracker.db.session import Session
from tracker.detection.reclassify import reclassify
from tracker.domain.match import Coin, ScannedTx
from tracker.domain.netting import keys_of, sending_parties
from tracker.errors import InvalidBlockError, NotFoundError, ReplyError, SourceUnavailableError
from tracker.ledger.coins import repository as ledger
from tracker.ledger.holdings import repository as holdings
from tracker.ledger.rows import parties_json
from tracker.ledger.senders import repository as rows
from tracker.log import get_logger
from tracker.registry import repository as registry
from tracker.registry.owners import owners_for
from tracker.scanning.bitcoin_block import CHAIN

# Each may cost a public source 50 calls: at 10 a second a tick then takes 25 seconds.
PER_TICK = 5
MAX_TRIES = 3
# A block that no source has now must not stand before all others: it is asked for again later.
LATER_TICKS = 60
NO_SOURCE = "no configured source can tell the senders of coins; add an esplora or core source"
State = Literal["asked", "unknown"]

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SendersReport:
    """What one tick did: transfers of which senders were told, and given up as not to be told."""

    told: int = 0
    unknown: int = 0
    more: bool = False
    waiting: str | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    """A due transfer by what is asked of it, and our own scripts in its transaction."""

    id: str
    txid: bytes
    block_hash: bytes
    keys: frozenset[bytes]


class SenderEnrichment:
    """Fills in the senders of Bitcoin inflows, a few a tick; one object a process."""

    def __init__(self, database: Database, pool: BitcoinPool) -> None:
        self._database = database
        self._pool = pool
        # Failures that were the transfer's own, not an outage; forgotten with the process.
        self._tries: Counter[str] = Counter()
        self._ticks = 0
        self._later: dict[str, int] = {}  # transfer -> the tick from which it may be asked again

    def tick(self, limit: int = PER_TICK) -> SendersReport:
        """Ask for the senders of the newest `limit` transfers that are due.

        Without a source that can tell, nothing is touched. Harmless to run twice, beside a scan.
        """
        if not self._pool.offers(SenderSource):
            return SendersReport(waiting=NO_SOURCE)
        self._ticks += 1
        self._later = {name: tick for name, tick in self._later.items() if tick > self._ticks}
        with self._database.transaction(snapshot=True) as session:
            due = rows.due(session, CHAIN, limit + 1, besides=self._later)
            questions = [self._question(session, row) for row in due[:limit]]
        told = unknown = 0
        blocks: dict[bytes, bytes] = {}
        for question in questions:
            try:
                state = self._settle(question, blocks)
            except SourceUnavailableError as error:
                self._later[question.id] = self._ticks + LATER_TICKS
                return SendersReport(told, unknown, waiting=str(error))
            told += state == "asked"
            unknown += state == "unknown"
        if told or unknown:
            log.info("senders_asked", told=told, unknown=unknown)
        return SendersReport(told, unknown, more=len(due) > limit and told + unknown > 0)

    def _question(self, session: Session, row: Transfer) -> _Question:
        keys = frozenset(holdings.keys_moved(session, row))
        return _Question(row.id, row.tx, row.block_hash, keys)

    def _settle(self, question: _Question, blocks: dict[bytes, bytes]) -> State | None:
        """How one question ended; None where it stays due, or its block was orphaned meanwhile.

        Raises `SourceUnavailableError` where no source answers at all.
        """
        tx = self._transaction(question, blocks)
        coins = {} if tx is None else self._coins(question, tx)
        hidden = [txin for txin in tx.inputs if txin.script is None] if tx is not None else []
        if tx is None or not coins or not any(txin.outpoint in coins for txin in hidden):
            self._tries[question.id] += 1
            if self._tries[question.id] < MAX_TRIES:
                return None
            return self._write(question, "unknown")
        return self._write(question, "asked", tx, coins)

    def _transaction(
        self, question: _Question, blocks: dict[bytes, bytes]
    ) -> ScannedTx | None:
        """The transaction as its block has it; None where it is not in there."""
        raw = blocks.get(question.block_hash)
        if raw is None:
            blocks.clear()  # transfers come by block: one is held at a time
            raw = blocks[question.block_hash] = self._pool.block(question.block_hash)
        try:
            found = scan(raw, question.keys, (), verify=True)
        except InvalidBlockError as error:
            blocks.clear()
            self._pool.accuse(question.block_hash, error)
            return None
        return next((tx for tx in found.txs if tx.txid == question.txid), None)

    def _coins(self, question: _Question, tx: ScannedTx) -> dict[bytes, Coin]:
        """The coins that were spent, as far as they were told; none where the sources refuse."""
        refused = []

        def ask(source: BitcoinSource) -> dict[bytes, Coin]:
            if not isinstance(source, SenderSource):
                raise NotFoundError(
                    "this source tells no senders", field="source", value=source.name,
                    mend="add an esplora or core source",
                )  # fmt: skip
            try:
                return enrich.senders(source, tx, question.block_hash)
            except ReplyError as error:
                refused.append(error)
                raise

        try:
            return self._pool.ask(ask)
        except SourceUnavailableError:
            if not refused:
                raise
            return {}  # they answered, but not what can be: this transfer's own failure

    def _write(
        self,
        question: _Question,
        state: State,
        tx: ScannedTx | None = None,
        coins: dict[bytes, Coin] | None = None,
    ) -> State | None:
        """One transaction: counterparties, belief and state, if the block is canonical still."""
        with self._database.transaction() as session:
            row = rows.hold_due(session, question.id, question.block_hash)
            if row is None:
                return None
            if tx is None or coins is None:
                rows.settle(session, row, state)
            else:
                rows.settle(session, row, state, self._parties(session, row, tx, coins))
                reclassify(session, row.id)
        self._tries.pop(question.id, None)
        return state

    def _parties(
        self, session: Session, row: Transfer, tx: ScannedTx, coins: dict[bytes, Coin]
    ) -> list[dict[str, object]]:
        spent = {txin.outpoint for txin in tx.inputs}
        coins = {**ledger.coins_at(session, CHAIN, spent, row.block_hash), **coins}
        keys = keys_of([tx]) | {coin.script for coin in coins.values()}
        owners = owners_for(session, CHAIN, keys)
        labels = registry.labels_for(session, CHAIN, keys - owners.keys())
        name = partial(address_of, network=self._pool.network() or "")
        return parties_json(
            sending_parties(tx, row.entity_id, coins, owners, labels, name)
        )
