"""The scan against any bytes: it finds what a naive reading finds, and fails in one way only."""

from __future__ import annotations

import io
from functools import cache

import pytest
from bitcoin.core import CBlock
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.recorded_blocks import first_blocks, raw_block
from tests.regtest import MINER, RegtestChain, key, p2wpkh
from tracker.chains.bitcoin.block import read_block, scan
from tracker.domain.match import outpoint_of
from tracker.errors import InvalidBlockError

TINY = 482683


@cache
def segwit_block() -> bytes:
    """A small block of the kernel: three transactions, one spending another."""
    chain = RegtestChain()
    ours = chain.add_key(key(5))
    first = chain.spend(chain.coinbase(1), [(ours, 1_000_000)], change=p2wpkh(MINER))
    block = chain.mine(txs=[first])[0]
    paid = [utxo for utxo in block.utxos if utxo.script == ours]
    second = chain.spend(paid, [(p2wpkh(MINER), 400_000), (ours, 500_000)])
    return chain.mine(txs=[second])[0].raw


NaiveTx = tuple[bytes, tuple[bytes, ...], tuple[tuple[int, bytes], ...]]


@cache
def naive(height: int) -> tuple[NaiveTx, ...]:
    """Txid, spent outpoints and outputs of each transaction, read by an independent library."""
    block = CBlock.stream_deserialize(io.BytesIO(raw_block(height)))
    return tuple(
        (
            tx.GetTxid()[::-1],
            tuple(outpoint_of(txin.prevout.hash[::-1], txin.prevout.n) for txin in tx.vin),
            tuple((out.nValue, bytes(out.scriptPubKey)) for out in tx.vout),
        )
        for tx in block.vtx
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data(), height=st.sampled_from([TINY, 300025]))
def test_a_scan_finds_what_a_naive_reading_finds(data: st.DataObject, height: int) -> None:
    txs = naive(height)
    every_script = sorted({script for tx in txs for _, script in tx[2]})
    every_outpoint = sorted({outpoint for tx in txs for outpoint in tx[1]})
    scripts = set(data.draw(st.lists(st.sampled_from(every_script), max_size=12)))
    outpoints = set(data.draw(st.lists(st.sampled_from(every_outpoint), max_size=12)))
    outpoints.discard(bytes(32) + b"\xff" * 4)  # the coinbase's, which no coin has
    known = set(outpoints)
    expected = []
    for position, (txid, spends, outs) in enumerate(txs):
        if known & set(spends) or any(script in scripts for _, script in outs):
            expected.append((position, txid, spends, outs))
            known |= {
                outpoint_of(txid, index)
                for index, (_, script) in enumerate(outs) if script in scripts
            }
    found = scan(raw_block(height), scripts, outpoints)
    assert [
        (
            tx.position, tx.txid, tuple(txin.outpoint for txin in tx.inputs),
            tuple((out.amount, out.script) for out in tx.outputs),
        )
        for tx in found.txs
    ] == expected


@pytest.mark.parametrize("name", ["first", "segwit", "tiny"])
def test_every_truncation_is_an_invalid_block(name: str) -> None:
    raw = {
        "first": first_blocks()[170], "segwit": segwit_block(), "tiny": raw_block(TINY)[:2500]
    }[name]
    outs = {out.script for tx in read_block(segwit_block()).txs for out in tx.outputs}
    for size in range(len(raw)):
        with pytest.raises(InvalidBlockError):
            scan(raw[:size], outs, set())


@settings(max_examples=400, deadline=None)
@given(position=st.integers(0), bit=st.integers(0, 7))
@example(position=80, bit=0)
@example(position=84, bit=0)
def test_no_flipped_bit_passes_for_the_block(position: int, bit: int) -> None:
    """A flip in the header gives another hash; anywhere else it must not verify.

    Witness bytes are under the commitment, which is checked where a watched transaction has a
    witness: reading the whole block makes it so here.
    """
    raw = segwit_block()
    position %= len(raw)
    flipped = bytearray(raw)
    flipped[position] ^= 1 << bit
    honest = read_block(raw)
    try:
        found = read_block(bytes(flipped))
    except InvalidBlockError:
        return
    assert found.header.hash != honest.header.hash
    assert position < 80


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400), start=st.integers(0, 400))
def test_noise_fails_in_one_way_only(data: bytes, start: int) -> None:
    raw = segwit_block()[:start] + data
    scripts = {out.script for tx in read_block(segwit_block()).txs for out in tx.outputs}
    if raw == segwit_block():
        return
    with pytest.raises(InvalidBlockError):
        scan(raw, scripts, set(), verify=True)
