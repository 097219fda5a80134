"""Who paid, where the inputs do not say: the coins that a transaction spent, filled in afterwards.

For blocks that are committed already, never in the scan. An input names its coin by transaction id,
and the id vouches for that transaction's outputs: a parent's bytes prove script and amount.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracker.chains.bitcoin.rpc import satoshi
from tracker.chains.bitcoin.transaction import Transaction, WireReader
from tracker.chains.port import SenderSource
from tracker.domain.match import Coin, ScannedTx
from tracker.errors import InputError, ReplyError


def senders(source: SenderSource, tx: ScannedTx, block_hash: bytes) -> dict[bytes, Coin]:
    """The coins that `tx` of the block spent, by outpoint: as many as `source` can tell.

    Empty for a coinbase. Raises `ReplyError` where the source contradicts the block: another script
    than an input reveals, or coins worth less than the outputs.
    """
    if tx.coinbase:
        return {}
    told = source.prevouts(block_hash, tx)
    coins = {txin.outpoint: told[txin.outpoint] for txin in tx.inputs if txin.outpoint in told}
    for txin in tx.inputs:
        coin = coins.get(txin.outpoint)
        if coin is not None and txin.script is not None and coin.script != txin.script:
            raise _contradiction(tx, f"input {txin.index} reveals another script")
    spent = sum(coin.amount for coin in coins.values())
    if len(coins) == len(tx.inputs) and spent < sum(out.amount for out in tx.outputs):
        raise _contradiction(tx, "the coins are worth less than the outputs")
    return coins


def coins_of_parents(
    tx: ScannedTx, parent: Callable[[bytes], Transaction | None], *, limit: int
) -> dict[bytes, Coin]:
    """The coins that `tx` spent, read from the transactions that made them.

    `parent` gives a transaction whose bytes hash to the id asked for, None where it is not to be
    had. At most `limit` are asked for, those of inputs that hide their sender first.
    """
    wanted: dict[bytes, list[bytes]] = {}
    for txin in sorted(tx.inputs, key=lambda txin: txin.script is not None):
        wanted.setdefault(txin.outpoint[31::-1], []).append(txin.outpoint)
    coins: dict[bytes, Coin] = {}
    for txid in list(wanted)[:limit]:
        made = parent(txid)
        if made is None:
            continue
        for outpoint in wanted[txid]:
            index = int.from_bytes(outpoint[32:], "little")
            if index >= len(made.outputs):
                raise _contradiction(tx, f"{txid.hex()} has no output {index}")
            coins[outpoint] = made.outputs[index]
    return coins


def spent_in_block(raw: bytes, tx: ScannedTx, source: str) -> dict[bytes, Coin]:
    """The coins that `tx` spent, from what the whole block spent.

    `raw` is a list, an entry a transaction, of lists of outputs in the order of the inputs; the
    coinbase's is empty. Source: Bitcoin Core 30, src/rest.cpp (SerializeBlockUndo).
    """
    coins: tuple[Coin, ...] = ()
    try:
        reader = WireReader(raw)
        count = reader.compact()
        for _ in range(min(count, tx.position + 1)):
            coins = tuple(reader.coin() for _ in range(reader.compact()))
    except ValueError as error:
        raise _not_spent(tx, source, str(error)) from None
    if tx.position >= count or len(coins) != len(tx.inputs):
        raise _not_spent(tx, source, f"{len(coins)} of {len(tx.inputs)} inputs")
    return {txin.outpoint: coin for txin, coin in zip(tx.inputs, coins, strict=True)}


def verbose_prevouts(row: Any, tx: ScannedTx, source: str) -> dict[bytes, Coin] | None:
    """The coins that `tx` spent, from its verbose form with `prevout` at each input.

    None where there is none: the node is too old, or has no undo data of the block (any more).
    Raises `ReplyError` for another transaction or a form that is none.
    """
    if not isinstance(row, dict):
        return None
    inputs = row.get("vin")
    if row.get("txid") != tx.txid.hex() or not isinstance(inputs, list):
        raise _strange(source, row.get("txid"))
    if len(inputs) != len(tx.inputs):
        raise _strange(source, f"{len(inputs)} inputs")
    coins: dict[bytes, Coin] = {}
    for txin, item in zip(tx.inputs, inputs, strict=True):
        prevout = item.get("prevout") if isinstance(item, dict) else None
        if prevout is None:
            return None
        try:
            script = bytes.fromhex(prevout["scriptPubKey"]["hex"])
            coins[txin.outpoint] = Coin(script, satoshi(prevout["value"]))
        except (KeyError, TypeError, ValueError, InputError):
            raise _strange(source, prevout) from None
    return coins


def _contradiction(tx: ScannedTx, why: str) -> ReplyError:
    return ReplyError(
        f"the source tells coins that the transaction did not spend: {why}", field="prevout",
        value=tx.txid.hex(), mend="take them from another source",
    )


def _not_spent(tx: ScannedTx, source: str, why: str) -> ReplyError:
    return ReplyError(
        f"{source} sent spent outputs that are not of this block: {why}", field="spenttxouts",
        value=tx.txid.hex(), mend="see the node's version and its log",
    )


def _strange(source: str, value: object) -> ReplyError:
    return ReplyError(
        f"{source} answered with something else than the transaction's inputs", field="vin",
        value=value, mend="check that the URL is the node's RPC address, not a web page or a proxy",
    )
