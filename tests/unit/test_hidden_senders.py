"""On a real block: which inflows are due to be asked for, and what they become once told."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Mapping
from functools import partial

import pytest

from tests.data import shared_data
from tracker.chains.bitcoin.address import address_of
from tracker.chains.bitcoin.block import BlockScan, read_block
from tracker.chains.bitcoin.enrich import senders
from tracker.chains.bitcoin.recorded import coins_in
from tracker.domain.entity import Kind, Tier
from tracker.domain.intent import classify
from tracker.domain.match import Coin, ScannedTx
from tracker.domain.netting import net, sending_parties
from tracker.domain.transfer import NetTransfer, Owner
from tracker.ledger.effects import ClassifiedTransfer
from tracker.ledger.rows import transfer_row

HEIGHT = 866342
NAME = partial(address_of, network="mainnet")


class Recorded:
    """A source that knows what the block spent, from the recording."""

    def __init__(self, coins: Mapping[bytes, Coin]) -> None:
        self.coins = coins

    def prevouts(self, block_hash: bytes, tx: ScannedTx) -> Mapping[bytes, Coin]:
        return {txin.outpoint: self.coins[txin.outpoint] for txin in tx.inputs}


@pytest.fixture(scope="module")
def block() -> BlockScan:
    path = shared_data() / "bitcoin" / "blocks" / f"mainnet_{HEIGHT}.raw.gz"
    return read_block(gzip.decompress(path.read_bytes()))


@pytest.fixture(scope="module")
def source(block: BlockScan) -> Recorded:
    path = shared_data() / "bitcoin" / "blocks" / f"mainnet_{HEIGHT}.spent_utxos.json.gz"
    rows = iter(coins_in(gzip.decompress(path.read_bytes())))
    return Recorded(
        {txin.outpoint: next(rows) for tx in block.txs if not tx.coinbase for txin in tx.inputs}
    )


def owned(script: bytes) -> dict[bytes, Owner]:
    return {script: Owner(1, 1, "acme", Kind.DAT, None, "treasury", Tier.USER)}


def inflow(block: BlockScan, tx: ScannedTx, script: bytes) -> NetTransfer:
    (found,) = net(
        "bitcoin", tx, block.ref(HEIGHT), coins={}, owners=owned(script), labels={},
        address_of=NAME,
    )
    return found


def test_every_hidden_inflow_is_due_and_told_whole(block: BlockScan, source: Recorded) -> None:
    due = 0
    for tx in block.txs[1:]:
        largest = max(tx.outputs, key=lambda out: out.amount)
        paid = Counter[bytes]()
        for coin in source.prevouts(b"", tx).values():
            paid[coin.script] += coin.amount
        if largest.amount == 0 or largest.script in paid:
            continue  # to the sender itself
        transfer = inflow(block, tx, largest.script)
        row = transfer_row(ClassifiedTransfer(transfer, classify(transfer), None, None), b"")
        hidden = any(txin.script is None for txin in tx.inputs)
        assert row["senders"] == ("due" if hidden else None), tx.txid.hex()
        if hidden:
            due += 1
            told = senders(source, tx, b"")
            parties = sending_parties(tx, 1, told, owned(largest.script), {}, NAME)
            assert {party.key: party.amount for party in parties} == paid
    assert due == 221


def test_a_reward_is_never_due(block: BlockScan) -> None:
    reward = block.txs[0]
    transfer = inflow(block, reward, reward.outputs[0].script)
    row = transfer_row(ClassifiedTransfer(transfer, classify(transfer), None, None), b"")
    assert (row["intent"], row["senders"]) == ("mining", None)
