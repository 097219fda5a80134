"""What a node says of a block, typed: blocks, receipts, logs, traces (Ethereum JSON-RPC names).

Hexadecimal stays text as it came: only what is matched is decoded. Field meanings:
https://ethereum.github.io/execution-apis/ ; traces: `trace_block` (flat) and geth's callTracer.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


class Transaction(Struct, rename="camel"):
    """One transaction of a full block."""

    hash: str
    from_: str = field(name="from")
    value: str
    to: str | None = None
    transaction_index: str | None = None
    type: str | None = None
    nonce: str | None = None
    gas: str | None = None
    gas_price: str | None = None
    input: str | None = None


class Withdrawal(Struct, rename="camel"):
    """A payment of the consensus layer; `amount` is gwei (EIP-4895)."""

    index: str
    validator_index: str
    address: str
    amount: str


class Header(Struct, rename="camel"):
    """A block without its transactions: every field that its hash covers, by fork."""

    number: str
    hash: str
    parent_hash: str
    timestamp: str
    miner: str
    sha3_uncles: str
    state_root: str
    transactions_root: str
    receipts_root: str
    logs_bloom: str
    difficulty: str
    gas_limit: str
    gas_used: str
    extra_data: str
    mix_hash: str | None = None
    nonce: str | None = None
    base_fee_per_gas: str | None = None
    withdrawals_root: str | None = None
    blob_gas_used: str | None = None
    excess_blob_gas: str | None = None
    parent_beacon_block_root: str | None = None
    requests_hash: str | None = None
    uncles: list[str] = []


class Block(Header, rename="camel"):
    """A block with its transactions whole (`eth_getBlockByHash(hash, true)`)."""

    transactions: list[Transaction] = []
    withdrawals: list[Withdrawal] = []


class Log(Struct, rename="camel"):
    """One event of a contract."""

    address: str
    topics: list[str]
    data: str
    log_index: str
    transaction_hash: str
    block_hash: str
    block_number: str
    transaction_index: str | None = None
    removed: bool = False


class Receipt(Struct, rename="camel"):
    """What one transaction did. `status` is missing before Byzantium, prices before London."""

    transaction_hash: str
    gas_used: str
    cumulative_gas_used: str
    logs: list[Log]
    logs_bloom: str
    from_: str | None = field(name="from", default=None)
    to: str | None = None
    status: str | None = None
    root: str | None = None
    type: str | None = None
    block_hash: str | None = None
    block_number: str | None = None
    transaction_index: str | None = None
    contract_address: str | None = None
    effective_gas_price: str | None = None
    blob_gas_used: str | None = None
    blob_gas_price: str | None = None


class Trace(Struct, rename="camel"):
    """One frame of `trace_block`; `error` stands on the failed frame only, not on those below."""

    action: dict[str, Any]
    trace_address: list[int]
    type: str
    block_hash: str | None = None
    block_number: int | None = None
    transaction_hash: str | None = None
    transaction_position: int | None = None
    subtraces: int = 0
    error: str | None = None
    result: dict[str, Any] | None = None


class CallFrame(Struct, rename="camel"):
    """One frame of callTracer, with those below it."""

    type: str
    from_: str = field(name="from", default="")
    to: str | None = None
    value: str | None = None
    error: str | None = None
    calls: list[CallFrame] = []


class TracedTransaction(Struct, rename="camel"):
    """One item of `debug_traceBlockByHash` with callTracer, in block order."""

    result: CallFrame | None = None
    tx_hash: str | None = None
    error: str | None = None


class BlockRecords(Struct):
    """Everything fetched of one block. None says that it was not asked for or cannot be had.

    `receipts` of all transactions, or only those that were needed; `logs` the whole block's or,
    with `logs_complete` False, those that a filter let through. `traces` in either form.
    """

    block: Block
    receipts: list[Receipt] | None = None
    logs: list[Log] = []
    traces: list[Trace] | list[TracedTransaction] | None = None
    logs_complete: bool = True
