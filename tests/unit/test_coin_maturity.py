"""When a coin may be spent, and what a snapshot sums to."""

from __future__ import annotations

import pytest

from tests.regtest import MINER, SUBSIDY, RegtestChain, p2wpkh
from tracker.domain.chain import Tip
from tracker.domain.coins import COINBASE_MATURITY, UtxoSnapshot, mature
from tracker.domain.match import HeldCoin


def coin(height: int, *, coinbase: bool | None, amount: int = 1) -> HeldCoin:
    return HeldCoin(bytes(36), amount, height, coinbase=coinbase)


def test_a_reward_of_block_h_is_first_spendable_in_block_h_plus_100() -> None:
    reward = coin(500, coinbase=True)
    assert mature(reward, 598) is False
    assert mature(reward, 599) is True  # the next block is 600


def test_other_coins_are_spendable_at_once_and_unknown_ones_not_judged() -> None:
    assert mature(coin(500, coinbase=False), 500) is True
    assert mature(coin(500, coinbase=None), 598) is None
    assert mature(coin(500, coinbase=None), 599) is True


def test_the_consensus_library_draws_the_same_line() -> None:
    chain = RegtestChain(mature=False)
    chain.mine(COINBASE_MATURITY)
    for height in (1, 2):
        spend = chain.spend(chain.coinbase(height), [(p2wpkh(MINER), SUBSIDY)])
        if mature(coin(height, coinbase=True), chain.height):
            assert chain.mine(txs=[spend])[0].height == COINBASE_MATURITY + 1
            chain.fork(COINBASE_MATURITY)  # judge the second coin at the same height
        else:
            with pytest.raises(AssertionError, match="refused"):
                chain.mine(txs=[spend])


def test_a_snapshot_sums_each_script() -> None:
    held = {b"\x51": (coin(1, coinbase=None, amount=3), coin(2, coinbase=None, amount=4)), b"": ()}
    assert UtxoSnapshot(Tip(2, bytes(32)), held).balances() == {b"\x51": 7, b"": 0}
