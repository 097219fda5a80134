"""Recorded Ethereum replies, read once a process, and records made by hand for what they lack."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import Any

import msgspec

from tests.data import shared_data
from tracker.chains.ethereum.recorded import block_in, receipts_or_logs_in, traces_in
from tracker.chains.ethereum.records import (
    Block,
    BlockRecords,
    CallFrame,
    Log,
    Receipt,
    Trace,
    TracedTransaction,
    Transaction,
    Withdrawal,
)

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
WETH = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
MINER = "0x" + "99" * 20
ALICE, BOB, CAROL = (f"0x{digit * 40}" for digit in "abc")
BLOCK_HASH = "0x" + "b1" * 32


def data_of(name: str) -> bytes:
    """A file of `data/ethereum`, ungzipped."""
    path = shared_data() / "ethereum" / name
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.suffix == ".gz" else raw


def answers(name: str) -> dict[str, Any]:
    """A file of derived answers."""
    found: dict[str, Any] = json.loads(data_of(f"answers/{name}.answers.json"))
    return found


def result(name: str) -> Any:
    """The `result` of a recorded reply."""
    return json.loads(data_of(f"rpc/{name}"))[0]["response"]["result"]


@cache
def block_18m() -> BlockRecords:
    """Block 18000000 with its receipts."""
    receipts, _ = receipts_or_logs_in(data_of("rpc/eth_getBlockReceipts__test_02.json.gz"))
    block = block_in(data_of("rpc/eth_getBlockByNumber__test_08.json.gz"))
    return BlockRecords(block, receipts)


def flat(name: str) -> list[Trace]:
    """The flat frames of a recorded reply."""
    found = traces_in(data_of(name))
    return [trace for trace in found if isinstance(trace, Trace)]


def nested(name: str) -> list[TracedTransaction]:
    """The call trees of a recorded reply."""
    found = traces_in(data_of(name))
    return [traced for traced in found if isinstance(traced, TracedTransaction)]


def tx_hash(number: int) -> str:
    """A hash for the transaction of that number."""
    return f"0x{number + 1:064x}"


def made_tx(
    number: int, sender: str, to: str | None, value: int, *, gas_price: int = 10
) -> Transaction:
    """A transaction that offers `gas_price` wei."""
    return Transaction(
        hash=tx_hash(number), from_=sender, to=to, value=hex(value), gas_price=hex(gas_price)
    )


def made_receipt(
    number: int, *, status: int | None = 1, gas: int = 21_000, price: int | None = 10,
    made: str | None = None, logs: list[Log] | None = None, blobs: tuple[int, int] | None = None,
) -> Receipt:
    """A receipt; `made` is the contract it created, `blobs` the blob gas and its price."""
    return Receipt(
        transaction_hash=tx_hash(number), gas_used=hex(gas), cumulative_gas_used=hex(gas),
        logs=logs or [], logs_bloom="0x", status=None if status is None else hex(status),
        contract_address=made, effective_gas_price=None if price is None else hex(price),
        blob_gas_used=None if blobs is None else hex(blobs[0]),
        blob_gas_price=None if blobs is None else hex(blobs[1]),
    )


def made_log(
    index: int, address: str, topics: list[str], data: str, *, number: int = 0, **more: Any
) -> Log:
    """A log of the transaction of that number."""
    return Log(
        address=address, topics=topics, data=data, log_index=hex(index),
        transaction_hash=tx_hash(number), block_hash=BLOCK_HASH, block_number="0x64", **more,
    )


def transfer(index: int, source: str, target: str, amount: int, token: str = WETH) -> Log:
    """An ERC-20 `Transfer`."""
    return made_log(index, token, [TRANSFER, word(source), word(target)], f"0x{amount:064x}")


def word(address: str) -> str:
    """An address as a topic."""
    return f"0x{address[2:]:0>64}"


def made_block(
    txs: list[Transaction], *, base_fee: int | None = 3, cancun: bool = False,
    withdrawals: list[Withdrawal] | None = None, gas_used: int = 0,
) -> Block:
    """A block of these transactions, at height 100."""
    return Block(
        number="0x64", hash=BLOCK_HASH, parent_hash="0x" + "b0" * 32, timestamp="0x64ea268f",
        miner=MINER, sha3_uncles="0x", state_root="0x", transactions_root="0x",
        receipts_root="0x", logs_bloom="0x", difficulty="0x0", gas_limit="0x0",
        gas_used=hex(gas_used), extra_data="0x", transactions=txs, withdrawals=withdrawals or [],
        base_fee_per_gas=None if base_fee is None else hex(base_fee),
        parent_beacon_block_root="0x" + "00" * 32 if cancun else None,
    )


def block_of(traces: list[Trace]) -> BlockRecords:
    """A block whose transactions are the top frames of `traces`, with receipts without status."""
    tops = [trace for trace in traces if not trace.trace_address and trace.type != "reward"]
    txs, receipts = [], []
    for number, top in enumerate(tops):
        tx = made_tx(number, top.action["from"], top.action.get("to"), int(top.action["value"], 16))
        tx.hash = str(top.transaction_hash)
        made = (top.result or {}).get("address")
        receipt = made_receipt(number, status=None, gas=0, made=made)
        receipt.transaction_hash = tx.hash
        txs.append(tx)
        receipts.append(receipt)
    return BlockRecords(made_block(txs, base_fee=None), receipts, [], traces)


def tree_of(frames: list[Trace]) -> CallFrame:
    """The flat frames of one transaction as callTracer nests them."""
    by_path: dict[tuple[int, ...], CallFrame] = {}
    for trace in sorted(frames, key=lambda trace: trace.trace_address):
        action, made = trace.action, trace.result or {}
        if trace.type == "suicide":
            frame = CallFrame(
                "SELFDESTRUCT", action["address"], action["refundAddress"], action["balance"]
            )
        else:
            kind = str(action.get("callType") or action.get("creationMethod") or trace.type)
            frame = CallFrame(
                kind.upper(), action["from"], action.get("to") or made.get("address"),
                action["value"], trace.error,
            )
        path = tuple(trace.trace_address)
        by_path[path] = frame
        if path:
            by_path[path[:-1]].calls.append(frame)
    return by_path[()]


def trees_of(records: BlockRecords) -> list[TracedTransaction]:
    """The block's flat traces as `debug_traceBlockByHash` with callTracer gives them."""
    frames: dict[str, list[Trace]] = {tx.hash: [] for tx in records.block.transactions}
    for trace in records.traces or []:
        if isinstance(trace, Trace) and trace.transaction_hash is not None:
            frames[trace.transaction_hash].append(trace)
    return [TracedTransaction(tree_of(found), tx) for tx, found in frames.items()]


def copy_of(records: BlockRecords, **changes: Any) -> BlockRecords:
    """The same records with some changed."""
    return msgspec.structs.replace(records, **changes)
