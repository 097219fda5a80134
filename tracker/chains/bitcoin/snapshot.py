"""What scripts hold by an Esplora server: its list, made whole, then proved coin by coin.

The list alone will not do. A server leaves out every output that an unconfirmed transaction spends
(electrs, src/new_index/query.rs), though it is still unspent in the chain; those are found among
the unconfirmed transactions, and the server's own totals tell whether any is missing. And a public
server's word is not taken: each coin's transaction has to hash to its id, and to stand in a block
that was mined. So a server can withhold coins or show spent ones, but cannot invent any.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import msgspec

from tracker.chains.bitcoin.address import display
from tracker.chains.bitcoin.esplora_api import (
    EsploraApi,
    Hash,
    Index,
    Satoshi,
    ScriptStats,
    Status,
)
from tracker.chains.bitcoin.inclusion import InclusionProof
from tracker.chains.bitcoin.transaction import Transaction, transaction_reply
from tracker.domain.chain import Tip
from tracker.domain.coins import UtxoSnapshot
from tracker.domain.match import Coin, HeldCoin, outpoint_of
from tracker.errors import ReplyError, SourceUnavailableError, TooManyOutputsError

RETRY_WAITS = (0.5, 2.0, 5.0)  # seconds before each further try where the tip moved on
MAX_CHECKED = 1_000  # transactions; each costs two calls
_LISTED = 0.5  # the share of the work that is done once the coins are listed

T = TypeVar("T")
Progress = Callable[[float], None]


class Utxo(msgspec.Struct):
    """An unspent output of a listing."""

    txid: Hash
    vout: Index
    value: Satoshi
    status: Status


class Prevout(msgspec.Struct):
    """An output as an input shows it."""

    scriptpubkey: str
    value: Satoshi

    def coin(self, source: str) -> Coin:
        """Its script and amount; raises `ReplyError` where the script is no hex."""
        try:
            return Coin(bytes.fromhex(self.scriptpubkey), self.value)
        except ValueError:
            raise ReplyError(
                f"{source} sent an output without a script", field="scriptpubkey",
                value=self.scriptpubkey, mend="take it from another source",
            ) from None


class Input(msgspec.Struct):
    """An input; a coinbase's has no prevout."""

    txid: Hash
    vout: Index
    prevout: Prevout | None = None


class SpendingTx(msgspec.Struct):
    """A transaction by what it spends."""

    txid: Hash
    vin: list[Input]


class _ShiftedError(Exception):
    """The server's answers do not fit one state of the chain: ask again."""


def at_one_tip(
    name: str, tip: Callable[[], Tip], read: Callable[[Tip], T], waits: Sequence[float]
) -> T:
    """What `read` gives while the tip stays the same before and after it.

    Tried once more after each of `waits`, in seconds; then raises `SourceUnavailableError`.
    """
    why = ""
    for wait in (0.0, *waits):
        time.sleep(wait)
        before = tip()
        try:
            answer = read(before)
        except _ShiftedError as error:
            why = str(error)
            continue
        if tip() == before:
            return answer
        why = "a new block came"
    raise SourceUnavailableError(
        f"{name} gave no answers of one and the same block", field="tip", value=why,
        mend="it is tried again by itself; ask for fewer addresses at once, or use your own node",
    )


class EsploraSnapshot:
    """Snapshots by one server. With `trusted` its list is believed, once it fits its totals."""

    def __init__(
        self, api: EsploraApi, tip: Callable[[], Tip], network: Callable[[], str | None], *,
        trusted: bool, waits: Sequence[float] = RETRY_WAITS,
    ) -> None:
        self._api = api
        self._tip = tip
        self._network = network
        self._trusted = trusted
        self._waits = waits
        # What was proved stays proved: after a break ("slow down") the next try goes on from there.
        self._proof: InclusionProof | None = None
        self._txs: dict[bytes, Transaction] = {}

    def take(self, scripts: Sequence[bytes], progress: Progress | None = None) -> UtxoSnapshot:
        """The confirmed unspent outputs of `scripts` at one tip; as the port says it."""
        wanted = tuple(dict.fromkeys(scripts))
        tell = progress or _ignore

        def read(tip: Tip) -> UtxoSnapshot:
            listed: dict[bytes, tuple[HeldCoin, ...]] = {}
            for number, script in enumerate(wanted, 1):
                listed[script] = self._list(script, tip)
                tell(_LISTED * number / len(wanted))
            return UtxoSnapshot(tip, listed)

        found = at_one_tip(self._api.name, self._tip, read, self._waits)
        if not self._trusted:
            found = self._proved(found, tell)
        tell(1.0)
        return found

    def balance(self, scripts: Sequence[bytes]) -> tuple[Tip, dict[bytes, int]]:
        """The totals that the server states; a probe, which nothing proves."""

        def read(tip: Tip) -> tuple[Tip, dict[bytes, int]]:
            return tip, {script: self._stats(script).chain_stats.balance for script in scripts}

        return at_one_tip(self._api.name, self._tip, read, self._waits)

    def _stats(self, script: bytes) -> ScriptStats:
        found = self._api.of_script(script, "", ScriptStats)
        chain = found.chain_stats
        if chain.unspent < 0 or chain.balance < 0:
            raise ReplyError(
                f"{self._api.name} states that more was spent than received", field="chain_stats",
                value=script.hex(), mend="take it from another source",
            )
        return found

    def _list(self, script: bytes, tip: Tip) -> tuple[HeldCoin, ...]:
        stats = self._stats(script)
        if stats.chain_stats.unspent == 0:
            return ()
        try:
            rows = self._api.of_script(script, "/utxo", list[Utxo])
        except TooManyOutputsError as error:
            raise self._too_many(script, f"{stats.chain_stats.unspent} outputs", error) from None
        coins = dict(
            _coin(row.txid, row.vout, row.value, row.status)
            for row in rows if row.status.confirmed
        )
        if stats.mempool_stats.spent_txo_count:
            coins |= self._leaving(script, coins)
        chain = stats.chain_stats
        if len(coins) != chain.unspent or sum(c.amount for c in coins.values()) != chain.balance:
            raise _ShiftedError(
                f"{len(coins)} coins listed, {chain.unspent} in the totals of "
                f"{self._name(script)}; unconfirmed transactions may spend the others"
            )
        if any(coin.height > tip.height for coin in coins.values()):
            raise _ShiftedError("a coin from above the tip")
        return tuple(sorted(coins.values(), key=lambda coin: (coin.height, coin.outpoint)))

    def _leaving(
        self, script: bytes, listed: dict[bytes, HeldCoin]
    ) -> dict[bytes, HeldCoin]:
        """Coins that are unspent in the chain, and that unconfirmed transactions spend."""
        found: dict[bytes, HeldCoin] = {}
        for tx in self._api.of_script(script, "/txs/mempool", list[SpendingTx]):
            for txin in tx.vin:
                outpoint = outpoint_of(bytes.fromhex(txin.txid), txin.vout)
                ours = txin.prevout is not None and txin.prevout.scriptpubkey == script.hex()
                if not ours or outpoint in listed or outpoint in found or txin.prevout is None:
                    continue
                status = self._api.read(f"/tx/{txin.txid}/status", Status)
                if status.confirmed:  # else it is itself unconfirmed: no coin of the chain
                    key, coin = _coin(txin.txid, txin.vout, txin.prevout.value, status)
                    found[key] = coin
        return found

    def _proved(self, found: UtxoSnapshot, tell: Progress) -> UtxoSnapshot:
        """The same, each coin proved; raises `ReplyError` for one that the server made up."""
        network = self._network()
        if network is None:
            raise SourceUnavailableError(
                f"{self._api.name} does not know its first block", field="network",
                value=self._api.name, mend="it is tried again by itself",
            )
        if self._proof is None:
            self._proof = InclusionProof(self._api, network)
        txids = {coin.outpoint[31::-1] for held in found.coins.values() for coin in held}
        if len(txids) > MAX_CHECKED:
            most = max(found.coins, key=lambda script: len(found.coins[script]))
            raise self._too_many(
                most, f"{len(txids)} transactions", f"more than {MAX_CHECKED} are not checked"
            )
        for txid in [txid for txid in self._txs if txid not in txids]:
            del self._txs[txid]  # of another wallet: memory is for this one
        heights = {
            (coin.outpoint[31::-1], coin.height) for held in found.coins.values() for coin in held
        }
        for number, (txid, height) in enumerate(sorted(heights), 1):
            if txid not in self._txs:
                raw = self._api.raw_transaction(txid)
                self._txs[txid] = transaction_reply(raw, txid, self._api.name)
            self._proof.check(txid, height)
            tell(_LISTED + (1 - _LISTED) * number / len(heights))
        return UtxoSnapshot(found.tip, {
            script: tuple(self._paid(script, coin) for coin in held)
            for script, held in found.coins.items()
        })

    def _paid(self, script: bytes, coin: HeldCoin) -> HeldCoin:
        """`coin` with its origin, once its transaction is seen to pay it."""
        tx = self._txs[coin.outpoint[31::-1]]
        index = int.from_bytes(coin.outpoint[32:], "little")
        if index >= len(tx.outputs) or tx.outputs[index] != Coin(script, coin.amount):
            raise ReplyError(
                f"{self._api.name} lists an output that the transaction does not have",
                field=f"output {index}", value=tx.txid.hex(), mend="take it from another source",
            )
        return replace(coin, coinbase=tx.coinbase)

    def _name(self, script: bytes) -> str:
        network = self._network()
        return script.hex() if network is None else display(script, network)

    def _too_many(self, script: bytes, count: str, why: object) -> TooManyOutputsError:
        return TooManyOutputsError(
            f"{self._api.name} cannot give so many unspent outputs: {count} ({str(why)[:200]})",
            field="address", value=self._name(script),
            mend="add a Bitcoin Core node of your own as source (core+http://…): its scantxoutset "
            "has no such limit",
        )


def _coin(txid: str, vout: int, amount: int, status: Status) -> tuple[bytes, HeldCoin]:
    outpoint = outpoint_of(bytes.fromhex(txid), vout)
    height = status.block_height
    if height is None:
        raise ReplyError(
            "a confirmed output without a height", field="status", value=txid,
            mend="take it from another source",
        )
    return outpoint, HeldCoin(outpoint, amount, height)


def _ignore(_: float) -> None:
    """No one listens."""
