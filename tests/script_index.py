"""What an Esplora server knows of a regtest chain's scripts and transactions, from its blocks.

Shapes, texts and habits are those of electrs (src/rest.rs, src/new_index/query.rs): a listing of
unspent outputs leaves out what an unconfirmed transaction spends, and pages hold 25 transactions.
Coins spent are taken from the kernel, transactions from embit's parser: not from the code at test.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from typing import Any
from weakref import WeakKeyDictionary

from embit import compact
from embit.transaction import Transaction

from tests.regtest import MinedBlock, RegtestChain
from tracker.chains.bitcoin.header import double_sha256

PAGE = 25
Outpoint = tuple[str, int]


@dataclass(slots=True)
class Tx:
    """A transaction, its block (None while unconfirmed) and the coins that it spends."""

    raw: Transaction
    block: MinedBlock | None
    prevouts: list[tuple[int, bytes]]

    @property
    def txid(self) -> str:
        return str(self.raw.txid().hex())

    def status(self) -> dict[str, Any]:
        if self.block is None:
            return {"confirmed": False}
        return {
            "confirmed": True, "block_height": self.block.height,
            "block_hash": self.block.hash.hex(), "block_time": 0,
        }

    def json(self) -> dict[str, Any]:
        coinbase = not self.prevouts
        return {
            "txid": self.txid,
            "vin": [
                {
                    "txid": bytes(txin.txid).hex(), "vout": txin.vout, "is_coinbase": coinbase,
                    "prevout": None if coinbase else _out(*self.prevouts[number]),
                }
                for number, txin in enumerate(self.raw.vin)
            ],
            "vout": [_out(out.value, bytes(out.script_pubkey.data)) for out in self.raw.vout],
            "status": self.status(),
        }

    def spends(self) -> list[tuple[Outpoint, int, bytes]]:
        return [
            ((bytes(txin.txid).hex(), txin.vout), amount, script)
            for txin, (amount, script) in zip(self.raw.vin, self.prevouts, strict=False)
        ]

    def pays(self) -> list[tuple[Outpoint, int, bytes]]:
        return [
            ((self.txid, index), out.value, bytes(out.script_pubkey.data))
            for index, out in enumerate(self.raw.vout)
        ]

    def touches(self, script_hash: str) -> bool:
        return any(_hash(row[2]) == script_hash for row in self.spends() + self.pays())


@dataclass(slots=True)
class Index:
    """All transactions of the active chain in its order, and the ids of each block."""

    txs: dict[str, Tx] = field(default_factory=dict)
    blocks: dict[int, list[str]] = field(default_factory=dict)


_KNOWN: WeakKeyDictionary[RegtestChain, tuple[bytes, Index]] = WeakKeyDictionary()


def transactions(block: MinedBlock) -> list[Transaction]:
    """The transactions of a block."""
    stream = BytesIO(block.raw[80:])
    return [Transaction.read_from(stream) for _ in range(compact.read_from(stream))]


def spent_outputs(chain: RegtestChain, height: int) -> bytes:
    """What each transaction of a block spent, as Core 30's /rest/spenttxouts/HASH.bin gives it."""
    coins = iter(chain.spent(height) if height else ())
    txs = transactions(chain.at(height))
    parts = [compact.to_bytes(len(txs))]
    for number, tx in enumerate(txs):
        parts.append(compact.to_bytes(len(tx.vin) if number else 0))
        for _ in tx.vin if number else ():
            amount, script = next(coins)
            parts += [amount.to_bytes(8, "little"), compact.to_bytes(len(script)), script]
    return b"".join(parts)


def script_answer(
    chain: RegtestChain, path: str, mempool: Sequence[Transaction], limit: int
) -> tuple[int, bytes] | None:
    """The answer to a question about a script or a transaction; None for any other question."""
    parts = path.strip("/").split("/")
    if parts[0] not in ("scripthash", "tx") or len(parts) < 2:
        return None
    index = _index(chain)
    waiting = _mempool(index, mempool)
    if parts[0] == "scripthash":
        found = _of_script(index, waiting, parts[1], "/".join(parts[2:]), limit)
    else:
        found = _of_tx(index, waiting, parts[1], "/".join(parts[2:]))
    if isinstance(found, tuple):
        return found
    return 200, found if isinstance(found, bytes) else json.dumps(found).encode()


def _index(chain: RegtestChain) -> Index:
    known = _KNOWN.get(chain)
    if known is not None and known[0] == chain.tip.hash:
        return known[1]
    index = Index()
    for height in range(chain.height + 1):
        block = chain.at(height)
        coins = iter(chain.spent(height) if height else ())
        for number, tx in enumerate(transactions(block)):
            prevouts = [next(coins) for _ in tx.vin] if number else []
            found = Tx(tx, block, prevouts)
            index.txs[found.txid] = found
            index.blocks.setdefault(height, []).append(found.txid)
    _KNOWN[chain] = (chain.tip.hash, index)
    return index


def _mempool(index: Index, mempool: Sequence[Transaction]) -> dict[str, Tx]:
    waiting: dict[str, Tx] = {}
    for tx in mempool:
        prevouts = []
        for txin in tx.vin:
            name = bytes(txin.txid).hex()
            parent = waiting.get(name) or index.txs[name]
            out = parent.raw.vout[txin.vout]
            prevouts.append((out.value, bytes(out.script_pubkey.data)))
        found = Tx(tx, None, prevouts)
        if found.txid not in index.txs:
            waiting[found.txid] = found
    return waiting


def _of_script(
    index: Index, waiting: dict[str, Tx], name: str, rest: str, limit: int
) -> object:
    chain = [tx for tx in index.txs.values() if tx.touches(name)]
    fresh = [tx for tx in waiting.values() if tx.touches(name)]
    if rest == "":
        return {
            "scripthash": name, "chain_stats": _stats(chain, name),
            "mempool_stats": _stats(fresh, name),
        }
    if rest == "utxo":
        gone = {place for tx in chain + fresh for place, _, _ in tx.spends()}
        rows = [
            {"txid": place[0], "vout": place[1], "status": tx.status(), "value": amount}
            for tx in chain + fresh for place, amount, script in tx.pays()
            if _hash(script) == name and place not in gone
        ]
        if len(rows) > limit:
            return 400, f"Too many unspent transaction outputs (>{limit}).".encode()
        return rows
    if rest == "txs/mempool":
        return [tx.json() for tx in fresh][:50]
    if rest.startswith("txs/chain"):
        newest = chain[::-1]
        last = rest.removeprefix("txs/chain").strip("/")
        start = next((n + 1 for n, tx in enumerate(newest) if tx.txid == last), 0)
        return [tx.json() for tx in newest[start : start + PAGE]]
    return 404, b"endpoint does not exist"


def _of_tx(index: Index, waiting: dict[str, Tx], name: str, rest: str) -> object:
    tx = index.txs.get(name) or waiting.get(name)
    if tx is None:
        return 404, b"Transaction not found"
    if rest == "":
        return tx.json()
    if rest == "hex":
        return tx.raw.serialize().hex().encode()
    if rest == "status":
        return tx.status()
    if rest == "merkle-proof" and tx.block is not None:
        ids = index.blocks[tx.block.height]
        return {
            "block_height": tx.block.height, "pos": ids.index(name),
            "merkle": _branch([bytes.fromhex(one)[::-1] for one in ids], ids.index(name)),
        }
    return 404, b"Transaction not found or is unconfirmed"


def _branch(level: list[bytes], place: int) -> list[str]:
    beside = []
    while len(level) > 1:
        if len(level) % 2:
            level = [*level, level[-1]]
        beside.append(level[place ^ 1][::-1].hex())
        level = [
            double_sha256(level[number] + level[number + 1]) for number in range(0, len(level), 2)
        ]
        place >>= 1
    return beside


def _stats(txs: list[Tx], name: str) -> dict[str, int]:
    paid = [row[1] for tx in txs for row in tx.pays() if _hash(row[2]) == name]
    spent = [row[1] for tx in txs for row in tx.spends() if _hash(row[2]) == name]
    return {
        "tx_count": len(txs), "funded_txo_count": len(paid), "funded_txo_sum": sum(paid),
        "spent_txo_count": len(spent), "spent_txo_sum": sum(spent),
    }


def _hash(script: bytes) -> str:
    return sha256(script).hexdigest()


def _out(amount: int, script: bytes) -> dict[str, Any]:
    return {"scriptpubkey": script.hex(), "value": amount}
