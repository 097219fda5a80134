"""RLP, the ordered trie, the bloom filter and the envelopes, against raw recorded bytes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import rlp as package
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from tests.data import shared_data
from tests.rpc_replies import recorded, recorded_receipts
from tracker.chains.ethereum import rlp
from tracker.chains.ethereum.envelope import (
    AccessEntry,
    Authorization,
    SignedTransaction,
    transaction_bytes,
)
from tracker.chains.ethereum.roots import logs_bloom, ordered_root
from tracker.chains.ethereum.signer import library, recover

RAW_BLOCKS = {
    "debug_getRawBlock__test_03.json.gz": "debug_getRawReceipts__test_03.json.gz",
    "debug_getRawBlock__test_05.json": "debug_getRawReceipts__test_05.json.gz",
}
# Where a header has them (Yellow Paper 4.3).
TRANSACTIONS_ROOT, RECEIPTS_ROOT, BLOOM, WITHDRAWALS_ROOT = 4, 5, 6, 16


def raw_block(name: str) -> list[Any]:
    return list(package.decode(bytes.fromhex(recorded(name)[2:])))


def envelope_of(item: Any) -> bytes:
    """A typed transaction is a string in the block, a legacy one a list."""
    return item if isinstance(item, bytes) else package.encode(item)


trees = st.recursive(st.binary(max_size=70), st.lists, max_leaves=9)


@given(trees)
def test_rlp_writes_what_the_reference_package_writes(tree: Any) -> None:
    def written(node: Any) -> bytes:
        return rlp.text(node) if isinstance(node, bytes) else rlp.items(map(written, node))

    assert written(tree) == package.encode(tree)


@pytest.mark.parametrize("size", [0, 1, 55, 56, 255, 256, 65_536])
def test_rlp_at_the_borders_of_its_lengths(size: int) -> None:
    assert rlp.text(b"\x80" * size) == package.encode(b"\x80" * size)
    assert rlp.items([b"\x05"] * size) == package.encode([b"\x05"] * size)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 255, 256, 2**64, 2**256 - 1])
def test_rlp_of_numbers(value: int) -> None:
    assert rlp.integer(value) == package.encode(value)


def test_the_root_of_nothing_is_the_known_one() -> None:
    assert ordered_root([]).hex() == (
        "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    )


@pytest.mark.parametrize("name", RAW_BLOCKS)
def test_roots_of_raw_blocks(name: str) -> None:
    header, transactions, _, withdrawals = raw_block(name)[:4]
    receipts = [bytes.fromhex(text[2:]) for text in recorded(RAW_BLOCKS[name])]
    assert len(transactions) == len(receipts) > 40
    assert ordered_root([envelope_of(item) for item in transactions]) == header[TRANSACTIONS_ROOT]
    assert ordered_root([package.encode(item) for item in withdrawals]) == header[WITHDRAWALS_ROOT]
    assert ordered_root(receipts) == header[RECEIPTS_ROOT]


@pytest.mark.parametrize("name", RAW_BLOCKS)
def test_the_bloom_of_raw_blocks(name: str) -> None:
    header = raw_block(name)[0]
    logs = []
    for text in recorded(RAW_BLOCKS[name]):
        raw = bytes.fromhex(text[2:])
        fields = package.decode(raw[1:] if raw[0] < 0x80 else raw)
        logs += [(address, topics) for address, topics, _ in fields[3]]
    assert len(logs) > 50
    assert logs_bloom(logs) == header[BLOOM]
    assert logs_bloom(logs[: len(logs) // 2]) != header[BLOOM]
    assert logs_bloom([]) == bytes(256)


def test_one_item_more_or_less_is_another_root() -> None:
    items = [bytes([index]) * 40 for index in range(1, 200)]
    roots = {ordered_root(items[:count]) for count in (0, 1, 2, 16, 17, 126, 127, 128, 129, 199)}
    assert len(roots) == 10
    assert ordered_root(items[::-1]) != ordered_root(items)


def _hex(value: bytes) -> str:
    return hex(int.from_bytes(value))


def as_json(envelope: bytes) -> SignedTransaction:
    """The transaction as a node shows it, sender and hash left open."""
    kind = envelope[0] if envelope[0] < 0x80 else 0
    fields = package.decode(envelope[1:] if kind else envelope)
    names = {
        0: "nonce gas_price gas to value input v r s",
        1: "chain_id nonce gas_price gas to value input access_list y_parity r s",
        2: "chain_id nonce max_priority_fee_per_gas max_fee_per_gas gas to value input "
           "access_list y_parity r s",
        3: "chain_id nonce max_priority_fee_per_gas max_fee_per_gas gas to value input "
           "access_list max_fee_per_blob_gas blob_versioned_hashes y_parity r s",
    }[kind].split()
    found: dict[str, Any] = {"type": hex(kind), "hash": "", "from_": ""}
    for name, value in zip(names, fields, strict=True):
        if name == "access_list":
            found[name] = [
                AccessEntry("0x" + address.hex(), ["0x" + key.hex() for key in keys])
                for address, keys in value
            ]
        elif name == "blob_versioned_hashes":
            found[name] = ["0x" + item.hex() for item in value]
        elif name in ("to", "input"):
            found[name] = None if name == "to" and not value else "0x" + value.hex()
        else:
            found[name] = _hex(value)
    return SignedTransaction(**found)


def test_envelopes_of_a_deneb_block_with_blobs() -> None:
    path = shared_data() / "ethereum" / "beacon" / "beacon_block_deneb_19431837.json.gz"
    payload = json.loads(gzip.decompress(path.read_bytes()))["body"]["execution_payload"]
    raw = [bytes.fromhex(text[2:]) for text in payload["transactions"]]
    kinds = set()
    for envelope in raw:
        tx = as_json(envelope)
        kinds.add(tx.type)
        assert transaction_bytes(tx)[0] == envelope
    assert len(raw) == 322
    assert kinds == {"0x0", "0x1", "0x2", "0x3"}


def test_an_authorisation_list_is_written_in_its_order() -> None:
    # EIP-7702: an item is [chain, address, nonce, y, r, s], the list stands before y, r, s.
    item = Authorization("0x1", "0x" + "11" * 20, "0x5", "0x6", "0x7", "0x1")
    tx = SignedTransaction(
        hash="", from_="", value="0x9", to="0x" + "22" * 20, type="0x4", chain_id="0x1",
        nonce="0x3", gas="0x5208", max_priority_fee_per_gas="0x1", max_fee_per_gas="0x2",
        input="0x", access_list=[], authorization_list=[item], y_parity="0x0", r="0xa", s="0xb",
    )
    due = package.encode([
        1, 3, 1, 2, 0x5208, b"\x22" * 20, 9, b"", [], [[1, b"\x11" * 20, 5, 1, 6, 7]], 0, 10, 11,
    ])
    assert transaction_bytes(tx)[0] == b"\x04" + due


def test_a_key_is_recovered_only_from_a_signature() -> None:
    assert library() is not None
    digest = keccak(b"x")
    assert recover(digest, 0, 0, 0) is None
    assert recover(digest, 1 << 300, 1, 0) is None
    assert recover(digest, 1, 1, 2) is None
    found = recover(digest, 1 << 100, 1 << 90, 0)
    assert found is None or len(found) == 20


def test_the_recorded_receipts_hold_logs_of_the_recorded_bloom() -> None:
    logs = [log for receipt in recorded_receipts() for log in receipt["logs"]]
    bloom = logs_bloom(
        (bytes.fromhex(log["address"][2:]), [bytes.fromhex(topic[2:]) for topic in log["topics"]])
        for log in logs
    )
    assert "0x" + bloom.hex() == recorded("eth_getBlockByNumber__test_08.json.gz")["logsBloom"]
