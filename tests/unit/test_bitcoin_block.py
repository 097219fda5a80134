"""The block scan on real blocks, and on everything that is not a block."""

from __future__ import annotations

import json

import pytest

from tests.recorded_blocks import answers, blocks_file, first_blocks, raw_block
from tests.regtest import MINER, RegtestChain, key, p2wpkh
from tracker.chains.bitcoin.block import MAX_BLOCK_BYTES, read_block, scan
from tracker.chains.bitcoin.header import double_sha256, parse_header
from tracker.chains.bitcoin.merkle import merkle_root
from tracker.domain.match import outpoint_of
from tracker.errors import InvalidBlockError

MARA = bytes.fromhex("76a9142fc701e2049ee4957b07134b6c1d771dd5a96b2188ac")


@pytest.mark.parametrize("height", [300025, 482683, 866342, 951658])
def test_every_txid_and_the_header_of_real_blocks(height: int) -> None:
    known = answers(height)
    block = read_block(raw_block(height))
    assert block.header.hash.hex() == known["hash"]
    assert block.header.parent.hex() == known["prev_hash"]
    assert int(block.header.time.timestamp()) == known["time"]
    assert block.height == height
    assert [tx.txid.hex() for tx in block.txs] == [tx["txid"] for tx in known["txs"]]
    assert [len(tx.inputs) for tx in block.txs] == [tx["n_in"] for tx in known["txs"]]
    paid = [sum(out.amount for out in tx.outputs) for tx in block.txs]
    assert paid == [tx["value_out_sats"] for tx in known["txs"]]
    assert block.txs[0].coinbase
    assert not block.txs[1].coinbase


def test_the_first_blocks_link_and_state_no_height() -> None:
    parent = bytes(32)
    for number, raw in enumerate(first_blocks()):
        block = scan(raw, set(), set(), verify=True)
        assert block.header.parent == parent
        assert block.height is None
        assert block.ref(number).height == number
        parent = block.header.hash


def test_only_hits_are_taken_apart() -> None:
    raw = raw_block(866342)
    scripts = {MARA}
    found = scan(raw, scripts, set(), verify=True)
    assert found.tx_count == 4864
    assert [tx.position for tx in found.txs] == [0]
    assert found.txs[0].outputs[0].amount == 317526183
    assert found.txs[0].outputs[0].script == MARA
    assert scan(raw, set(), set()).txs == ()


@pytest.mark.parametrize(
    ("height", "file"),
    [
        (866342, "mainnet_866342.spent_utxos.json.gz"),
        (300025, "mainnet_300025.spent_utxos.json.gz"),
    ],
)
def test_a_derived_sender_is_never_wrong_and_seldom_missing(height: int, file: str) -> None:
    spent = [
        bytes.fromhex(row.get("txout", row)["script_pubkey"])
        for row in json.loads(blocks_file(file))
    ]
    derived = [txin.script for tx in read_block(raw_block(height)).txs[1:] for txin in tx.inputs]
    pairs = list(zip(derived, spent, strict=True))
    assert [pair for pair in pairs if pair[0] is not None and pair[0] != pair[1]] == []
    hidden = [script for found, script in pairs if found is None]
    # All that stay unknown are taproot or pay to a bare key, which reveal no script.
    assert all(script[:2] == b"\x51\x20" or script[-1] in (0xAC, 0xAE) for script in hidden)
    assert not any(script[:3] == b"\x76\xa9\x14" for script in hidden)


def test_coins_made_and_spent_in_the_block_are_found() -> None:
    raw = raw_block(866342)
    whole = read_block(raw)
    made = {
        outpoint_of(tx.txid, out.index): (tx, out) for tx in whole.txs for out in tx.outputs
    }
    pairs = [
        (made[txin.outpoint], tx)
        for tx in whole.txs for txin in tx.inputs if txin.outpoint in made
    ]
    assert len(pairs) > 100
    (parent, out), child = pairs[0]
    found = scan(raw, {out.script}, set())
    assert {parent.position, child.position} <= {tx.position for tx in found.txs}
    by_outpoint = scan(raw, set(), {outpoint_of(parent.txid, out.index)})
    assert [tx.position for tx in by_outpoint.txs] == [child.position]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw[:79], "80 bytes"),
        (lambda raw: raw[:80], "ends inside"),
        (lambda raw: raw[:81], "ends inside"),
        (lambda raw: raw[:-1], "ends inside"),
        (lambda raw: raw + b"\0", "bytes after the last transaction"),
        (lambda raw: raw[:80] + b"\0", "no transaction"),
        (lambda raw: raw[:80] + b"\xff" * 9 + raw[81:], "ends inside|flag"),
        (lambda raw: raw[:80] + b"\xfd\x0c\x00" + raw[81:], "longer form"),
        (lambda raw: raw[:80] + b"\x01" + bytes(4) + b"\0\x08" + bytes(90), "unknown .* flag"),
        (lambda raw: raw + bytes(MAX_BLOCK_BYTES), "larger than consensus"),
        (lambda raw: raw[:36] + bytes(32) + raw[68:], "merkle root"),
        (lambda raw: raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:], "merkle root"),
    ],
)
def test_what_is_not_exactly_one_block_is_refused(change: object, message: str) -> None:
    assert callable(change)
    with pytest.raises(InvalidBlockError, match=message) as caught:
        scan(change(raw_block(482683)), set(), set(), verify=True)
    assert caught.value.field in ("block", "header")
    assert caught.value.mend


def test_where_a_block_breaks_off_is_said() -> None:
    with pytest.raises(InvalidBlockError) as caught:
        scan(raw_block(866342)[:1_000_000], set(), set())
    assert caught.value.value is not None
    assert "of 1000000" in caught.value.value


def test_a_repeated_tail_is_refused_though_its_root_fits() -> None:
    chain = RegtestChain()
    ours = chain.add_key(key(5))
    spends = [
        chain.spend(chain.coinbase(1), [(ours, 1_000_000)], change=p2wpkh(MINER)),
    ]
    chain.mine(2)
    spends.append(chain.spend(chain.coinbase(2), [(ours, 2_000_000)], change=p2wpkh(MINER)))
    raw = chain.mine(txs=spends)[0].raw
    last = spends[-1].serialize()
    mutated = raw[:80] + b"\x04" + raw[81:] + last
    scan(raw, set(), set(), verify=True)
    with pytest.raises(InvalidBlockError, match="CVE-2012-2459"):
        scan(mutated, set(), set(), verify=True)


def test_a_forged_witness_is_refused_where_a_sender_rests_on_it() -> None:
    chain = RegtestChain()
    ours = chain.add_key(key(5))
    spend = chain.spend(chain.coinbase(1), [(ours, 1_000_000)], change=p2wpkh(MINER))
    raw = chain.mine(txs=[spend])[0].raw
    public = MINER.get_public_key().sec()
    other = key(9).get_public_key().sec()
    assert scan(raw, {ours}, set(), verify=True).txs[0].inputs[0].script == p2wpkh(MINER)
    forged = raw.replace(public, other)
    assert forged != raw
    # The merkle root does not cover witnesses, so only the commitment tells.
    assert scan(forged, {ours}, set()).txs[0].inputs[0].script == p2wpkh(key(9))
    with pytest.raises(InvalidBlockError, match="commitment"):
        scan(forged, {ours}, set(), verify=True)


def test_only_the_first_transaction_is_a_coinbase() -> None:
    first, second = first_blocks()[1], first_blocks()[2]
    twice = first[:80] + b"\x02" + first[81:] + second[81:]
    with pytest.raises(InvalidBlockError, match="coinbase"):
        scan(twice, set(), set(), verify=True)
    chain = RegtestChain()
    spend = chain.spend(chain.coinbase(1), [(p2wpkh(MINER), 1_000_000)])
    with pytest.raises(InvalidBlockError, match="coinbase"):
        scan(first[:80] + b"\x01" + spend.serialize(), set(), set())


def test_the_height_of_young_chains_and_the_conflict_with_another() -> None:
    chain = RegtestChain(mature=False)
    chain.mine(140)
    heights = [scan(chain.at(number).raw, set(), set()).height for number in range(1, 141)]
    assert heights == list(range(1, 141))
    with pytest.raises(InvalidBlockError, match="height"):
        scan(chain.at(7).raw, set(), set()).ref(8)


def test_any_container_will_do() -> None:
    raw = raw_block(482683)
    script = read_block(raw).txs[3].outputs[0].script
    expected = scan(raw, {script}, set())
    assert expected.txs
    assert scan(raw, frozenset({script}), {}) == expected
    assert scan(raw, {script: 1}, {}.keys()) == expected


def test_the_merkle_tree_of_one_and_of_odd_levels() -> None:
    leaves = [bytes([number]) * 32 for number in range(5)]
    assert merkle_root(leaves[:1]) == (leaves[0], False)
    pair = double_sha256(leaves[0] + leaves[1])
    assert merkle_root(leaves[:3])[0] == double_sha256(
        pair + double_sha256(leaves[2] + leaves[2])
    )
    same, mutated = merkle_root([*leaves[:3], leaves[2]])
    assert (same, mutated) == (merkle_root(leaves[:3])[0], True)
    with pytest.raises(ValueError, match="leaf"):
        merkle_root([])


def test_a_short_header_is_refused() -> None:
    with pytest.raises(InvalidBlockError, match="80 bytes"):
        parse_header(bytes(79))
