"""Which coins of a block are watched: transactions as scanned, and the movements they make. Pure.

Amounts are satoshi. Transaction ids are bytes in display order; an outpoint is the 36 bytes as they
stand in a block: the transaction id in internal (reversed) order, then the output's index, little
endian.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tracker.errors import InvalidBlockError

MovementKind = Literal["input", "output", "coinbase_output"]


@dataclass(frozen=True, slots=True)
class TxOut:
    """One output of a transaction: `amount` satoshi locked by `script`."""

    index: int
    amount: int
    script: bytes


@dataclass(frozen=True, slots=True)
class TxIn:
    """One input. `script` is the sender's scriptPubKey where the input reveals it, else None."""

    index: int
    outpoint: bytes
    script: bytes | None


@dataclass(frozen=True, slots=True)
class ScannedTx:
    """A transaction that touches the watch set, whole; `position` is its place in the block."""

    position: int
    txid: bytes
    coinbase: bool
    inputs: tuple[TxIn, ...]
    outputs: tuple[TxOut, ...]


@dataclass(frozen=True, slots=True)
class Coin:
    """An unspent output of a watched script."""

    script: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class HeldCoin:
    """An unspent output as a source showed it: `height` confirmed it; `coinbase` None is unknown.

    `outpoint` is 36 wire bytes, `amount` satoshi.
    """

    outpoint: bytes
    amount: int
    height: int
    coinbase: bool | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """One atomic change of one watched script: `amount` is signed, negative where coins are spent.

    `outpoint` is the coin that was spent or made.
    """

    position: int
    txid: bytes
    ref: str
    kind: MovementKind
    script: bytes
    amount: int
    outpoint: bytes


def outpoint_of(txid: bytes, index: int) -> bytes:
    """The 36 wire bytes that name output `index` of the transaction `txid` (display order)."""
    return txid[::-1] + index.to_bytes(4, "little")


def match(
    txs: Iterable[ScannedTx], scripts: Container[bytes], coins: Mapping[bytes, Coin]
) -> tuple[Match, ...]:
    """The movements that `txs`, in block order, make on watched `scripts`.

    `coins` holds our unspent outputs by outpoint as they stood before the block; those made in the
    block itself are added here. Raises `InvalidBlockError` where a coin is spent twice.
    """
    found: list[Match] = []
    made: dict[bytes, Coin] = {}
    gone: set[bytes] = set()
    for tx in txs:
        for txin in tx.inputs:
            coin = made.get(txin.outpoint) or coins.get(txin.outpoint)
            if coin is None:
                continue
            if txin.outpoint in gone:
                raise InvalidBlockError(
                    "a coin is spent twice in one block",
                    field=f"tx {tx.position} vin:{txin.index}", value=txin.outpoint.hex(),
                    mend="take the block from another source",
                )
            gone.add(txin.outpoint)
            found.append(
                Match(
                    tx.position, tx.txid, f"vin:{txin.index}", "input", coin.script, -coin.amount,
                    txin.outpoint,
                )
            )
        kind: MovementKind = "coinbase_output" if tx.coinbase else "output"
        for out in tx.outputs:
            if out.script in scripts:
                outpoint = outpoint_of(tx.txid, out.index)
                made[outpoint] = Coin(out.script, out.amount)
                found.append(
                    Match(
                        tx.position, tx.txid, f"vout:{out.index}", kind, out.script, out.amount,
                        outpoint,
                    )
                )
    return tuple(found)
