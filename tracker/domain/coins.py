"""What scripts hold and where they were used, as sources tell it; coinbase maturity. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tracker.domain.chain import BlockRef, Tip
from tracker.domain.match import Coin, HeldCoin, ScannedTx, match

# A coinbase output of block h is first spendable in block h + 100. Bitcoin Core,
# consensus/consensus.h (COINBASE_MATURITY) and consensus/tx_verify.cpp.
COINBASE_MATURITY = 100


@dataclass(frozen=True, slots=True)
class UtxoSnapshot:
    """What scripts held at the block `tip`; each script that was asked for has an entry."""

    tip: Tip
    coins: Mapping[bytes, tuple[HeldCoin, ...]]

    def balances(self) -> dict[bytes, int]:
        """The sum of each script's coins, in satoshi."""
        return {
            script: sum(coin.amount for coin in held) for script, held in self.coins.items()
        }


@dataclass(frozen=True, slots=True)
class ScriptHistory:
    """Confirmed transactions of one script: (txid in display order, height), newest first.

    `complete` is False where there are more than were asked for.
    """

    transactions: tuple[tuple[bytes, int], ...]
    complete: bool


def advanced(
    snapshot: UtxoSnapshot, txs: Iterable[ScannedTx], block: BlockRef
) -> UtxoSnapshot:
    """The snapshot one block later: `txs` are those of `block` that touch its scripts.

    Raises `ValueError` where `block` is not the next one.
    """
    if block.parent != snapshot.tip.hash:
        raise ValueError(f"block {block.height} does not stand on the snapshot's")
    held = {
        script: {coin.outpoint: coin for coin in each} for script, each in snapshot.coins.items()
    }
    known = {
        coin.outpoint: Coin(script, coin.amount)
        for script, each in snapshot.coins.items()
        for coin in each
    }
    for move in match(txs, held, known):
        if move.amount < 0:
            held[move.script].pop(move.outpoint)
        else:
            held[move.script][move.outpoint] = HeldCoin(
                move.outpoint, move.amount, block.height, move.kind == "coinbase_output"
            )
    return UtxoSnapshot(
        Tip(block.height, block.hash),
        {script: tuple(each.values()) for script, each in held.items()},
    )


def mature(coin: HeldCoin, tip_height: int) -> bool | None:
    """Whether the block after `tip_height` may spend `coin`.

    None where that hangs on whether it is a coinbase output, which is not known.
    """
    if coin.coinbase is False or tip_height + 1 - coin.height >= COINBASE_MATURITY:
        return True
    return None if coin.coinbase is None else False
