"""The regtest harness: the kernel takes good blocks, and its refusals are seen."""

from __future__ import annotations

import pytest

from tests.regtest import MATURITY, MINER, SUBSIDY, RegtestChain, key, p2wpkh
from tracker.chains.bitcoin.block import read_block


def test_a_spend_its_prevouts_and_its_fee() -> None:
    chain = RegtestChain()
    ours = chain.add_key(key(3))
    spend = chain.spend(
        chain.coinbase(1), [(ours, 7_000_000)], change=p2wpkh(MINER), fee=1_234
    )
    block = chain.mine(txs=[spend])[0]
    assert chain.spent(block.height) == [(SUBSIDY, p2wpkh(MINER))]
    txs = read_block(block.raw).txs
    assert txs[1].txid == spend.txid()
    assert txs[0].outputs[0].amount == SUBSIDY + 1_234
    paid = next(utxo for utxo in block.utxos if utxo.script == ours)
    onward = chain.spend(paid, [(p2wpkh(MINER), 6_999_000)])
    assert chain.spent(chain.mine(txs=[onward])[0].height) == [(7_000_000, ours)]


def test_the_kernel_refuses_what_is_invalid() -> None:
    chain = RegtestChain()
    tip = chain.tip
    immature = chain.spend(chain.coinbase(3), [(p2wpkh(MINER), SUBSIDY)])
    with pytest.raises(AssertionError, match="refused"):
        chain.mine(txs=[immature])
    stolen = chain.spend(chain.coinbase(1), [(p2wpkh(key(4)), SUBSIDY)])
    stolen.vin[0].witness.items[0] = stolen.vin[0].witness.items[0][:-2] + b"\x00\x01"
    with pytest.raises(AssertionError, match="refused"):
        chain.mine(txs=[stolen])
    assert chain.tip == tip
    assert chain.mine()[0].height == MATURITY + 2


def test_a_longer_branch_reorganises_and_can_mine_a_spend_again() -> None:
    chain = RegtestChain()
    spend = chain.spend(chain.coinbase(1), [(p2wpkh(key(4)), SUBSIDY)])
    first = chain.mine(txs=[spend])[0]
    chain.fork(first.height - 1)
    rival = chain.mine()[0]
    assert chain.tip == first
    chain.mine(txs=[spend])
    assert chain.block_hash(first.height) == rival.hash
    assert chain.height == first.height + 1
    assert chain.raw(first.hash) == first.raw
