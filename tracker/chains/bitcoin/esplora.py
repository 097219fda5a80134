"""Esplora's REST API as a source (mempool.space, blockstream.info, one's own).

Fetching blocks tells the provider nothing of what is watched. What asks about scripts does:
`snapshot`, `balance`, `history` and `first_used` tell it the scripts, `prevouts` the transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from tracker.chains.bitcoin import history
from tracker.chains.bitcoin.block import MAX_BLOCK_BYTES
from tracker.chains.bitcoin.enrich import coins_of_parents
from tracker.chains.bitcoin.esplora_api import SHORT_BYTES, EsploraApi, Hash
from tracker.chains.bitcoin.network import network_of_genesis
from tracker.chains.bitcoin.snapshot import RETRY_WAITS, EsploraSnapshot, Input, Progress
from tracker.chains.bitcoin.transaction import Transaction, transaction_reply
from tracker.chains.check import block_reply, hash_reply, height_reply
from tracker.chains.http import HttpClient
from tracker.domain.chain import Tip
from tracker.domain.coins import ScriptHistory, UtxoSnapshot
from tracker.domain.match import Coin, ScannedTx
from tracker.errors import NotFoundError, ReplyError

MAX_PARENTS = 50  # calls for one transaction, at most


class _Spender(msgspec.Struct):
    txid: Hash
    vin: list[Input]


class EsploraSource:
    """Blocks, and answers about scripts, over Esplora's REST API.

    `checks`: with `full` a coin is believed once its transaction's bytes prove it; with `trusted`,
    for a server of one's own, the answers are taken as they are. `waits`: seconds before each
    further try of what has to be read at one tip.
    """

    kind = "esplora"

    def __init__(
        self, client: HttpClient, *, checks: Literal["full", "trusted"] = "full",
        waits: Sequence[float] = RETRY_WAITS,
    ) -> None:
        self._api = EsploraApi(client)
        self.name = self._api.name
        self._trusted = checks == "trusted"
        self._network: str | None = None
        self._snapshots = EsploraSnapshot(
            self._api, self.tip, self._known_network, trusted=self._trusted, waits=waits
        )

    def tip(self) -> Tip:
        """Two questions, height then hash at it, so that the pair fits even across a new block."""
        height = height_reply(self._api.text("/blocks/tip/height"), self.name, "tip height")
        found = self.block_hash(height)
        if found is None:
            raise ReplyError(
                f"{self.name} does not know the block at its own tip", field="tip", value=height,
                mend="its servers are out of step; it is tried again by itself",
            )
        return Tip(height, found)

    def block_hash(self, height: int) -> bytes | None:
        """The hash at `height`; None where the answer is 404."""
        reply = self._api.get(f"/block-height/{height}", limit=SHORT_BYTES)
        if reply.status == 404:
            return None
        return hash_reply(self._api.ok(reply).text, self.name, f"hash at {height}")

    def block(self, block_hash: bytes) -> bytes:
        """The raw block, in one call."""
        reply = self._api.get(f"/block/{block_hash.hex()}/raw", limit=MAX_BLOCK_BYTES)
        if reply.status == 404:
            raise NotFoundError(
                f"{self.name} does not have the block", field="block", value=block_hash.hex(),
                mend="it may lag; another source is asked",
            )
        return block_reply(self._api.ok(reply).body, block_hash, self.name)

    def network(self) -> str | None:
        """The network of its block 0."""
        genesis = self.block_hash(0)
        return None if genesis is None else network_of_genesis(genesis)

    def snapshot(
        self, scripts: Sequence[bytes], progress: Progress | None = None
    ) -> UtxoSnapshot:
        """What `scripts` hold at the tip: two calls or more a script, two a transaction to prove.

        Raises `TooManyOutputsError` where the server does not list them all (500 is usual).
        """
        return self._snapshots.take(scripts, progress)

    def balance(self, scripts: Sequence[bytes]) -> tuple[Tip, dict[bytes, int]]:
        """What the server says that each script holds at the tip; one call a script."""
        return self._snapshots.balance(scripts)

    def prevouts(self, block_hash: bytes, tx: ScannedTx) -> Mapping[bytes, Coin]:
        """The coins that `tx` spent: each parent transaction, at most 50, proves its own.

        With `checks="trusted"`, one call for the transaction itself, which shows them.
        """
        if tx.coinbase:
            return {}
        if not self._trusted:
            return coins_of_parents(tx, self._parent, limit=MAX_PARENTS)
        found = self._api.read(f"/tx/{tx.txid.hex()}", _Spender)
        if found.txid != tx.txid.hex() or len(found.vin) != len(tx.inputs):
            raise ReplyError(
                f"{self.name} sent another transaction than {tx.txid.hex()}", field="transaction",
                value=found.txid, mend="take it from another source",
            )
        coins = {}
        for txin, shown in zip(tx.inputs, found.vin, strict=True):
            if shown.prevout is not None:
                coins[txin.outpoint] = shown.prevout.coin(self.name)
        return coins

    def raw_transaction(self, txid: bytes) -> bytes:
        """The transaction's bytes; raises `NotFoundError`."""
        return self._api.raw_transaction(txid)

    def history(self, script: bytes, limit: int = 1000) -> ScriptHistory:
        """The newest `limit` confirmed transactions of `script`, newest first."""
        return history.read_history(self._api, script, limit)

    def first_used(self, script: bytes, limit: int = 1000) -> int | None:
        """The height at which `script` was first used; None where it never was.

        Raises `LongHistoryError` above `limit` transactions.
        """
        return history.first_used(self._api, script, limit)

    def _parent(self, txid: bytes) -> Transaction | None:
        try:
            return transaction_reply(self._api.raw_transaction(txid), txid, self.name)
        except NotFoundError:
            return None

    def _known_network(self) -> str | None:
        if self._network is None:
            self._network = self.network()
        return self._network
