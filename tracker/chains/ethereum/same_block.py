"""Whether receipts, logs and traces are of one block, by the hashes and counts that they state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import cast

from tracker.chains.ethereum.reading import number
from tracker.chains.ethereum.records import Block, Log, Receipt, TracedTransaction
from tracker.chains.ethereum.traces import Traces, is_flat
from tracker.errors import InputError


def check_receipts(block: Block, receipts: Sequence[Receipt]) -> None:
    """Raise `InputError` unless these are all receipts of `block`, in its order.

    Compared are the count, the hashes of block and transactions, the numbers of the logs, and that
    the gas of each adds up to the cumulative gas and to the block's.
    """
    _same_count("--receipts", "receipts", len(receipts), block)
    gas = logs = 0
    for place, (receipt, tx) in enumerate(zip(receipts, block.transactions, strict=True)):
        where = f"--receipts item {place}"
        _same_hash(where, receipt.block_hash, block)
        if receipt.transaction_hash.lower() != tx.hash.lower():
            raise InputError(
                "the receipt is of another transaction", field=where,
                value=receipt.transaction_hash,
                mend=f"the block's transaction {place} is {tx.hash}: give receipts in its order",
            )
        gas += number(receipt.gas_used, f"{where}.gasUsed")
        if number(receipt.cumulative_gas_used, f"{where}.cumulativeGasUsed") != gas:
            raise InputError(
                "the gas of the receipts does not add up", field=f"{where}.cumulativeGasUsed",
                value=receipt.cumulative_gas_used, mend="fetch the receipts again",
            )
        for log in receipt.logs:
            _same_hash(f"{where} log {log.log_index}", log.block_hash, block)
            if number(log.log_index, f"{where}.logIndex") != logs:
                raise InputError(
                    "the logs are not numbered one after another", field=f"{where}.logIndex",
                    value=log.log_index, mend=f"expected {logs}: fetch the receipts again",
                )
            logs += 1
    if gas != number(block.gas_used, "block.gasUsed"):
        raise InputError(
            "the receipts did not use the block's gas", field="--receipts", value=gas,
            mend=f"the block used {number(block.gas_used, 'block.gasUsed')}: fetch both again",
        )


def check_logs(
    block: Block, logs: Sequence[Log], receipts: Sequence[Receipt] | None = None
) -> None:
    """Raise `InputError` unless `logs` are of `block`, and also in its receipts if those have any.

    Numbers are not compared: Erigon's `erigon_getLatestLogs` counts from 0 in each transaction.
    """
    known = Counter(_content(log) for receipt in receipts or () for log in receipt.logs)
    for place, log in enumerate(logs):
        where = f"--logs item {place}"
        _same_hash(where, log.block_hash, block)
        if known and not known[_content(log)]:
            raise InputError(
                "the log is not in the receipts", field=where, value=f"log {log.log_index}",
                mend="give logs and receipts of one block",
            )
    if not known:
        _numbered_once(logs)


def check_traces(block: Block, traces: Traces) -> None:
    """Raise `InputError` unless `traces` are of `block`: by hashes, else by their number."""
    places = {tx.hash: place for place, tx in enumerate(block.transactions)}
    if not is_flat(traces):
        _same_count("--traces", "traced transactions", len(traces), block)
        nested = cast("Sequence[TracedTransaction]", traces)
        for place, (traced, tx) in enumerate(zip(nested, block.transactions, strict=True)):
            if traced.tx_hash not in (None, tx.hash):
                raise _other_transaction(f"--traces item {place}", traced.tx_hash)
        return
    traced_all = set()
    for place, trace in enumerate(traces):
        where = f"--traces item {place}"
        _same_hash(where, trace.block_hash, block)
        if trace.transaction_hash is not None:
            traced_all.add(trace.transaction_hash)
            position = trace.transaction_position
            if places.get(trace.transaction_hash) != position and position is not None:
                raise _other_transaction(where, trace.transaction_hash)
    if traced_all != set(places):
        _same_count("--traces", "traced transactions", len(traced_all), block)
        raise _other_transaction("--traces", min(traced_all - set(places)))


def logs_at(logs: Sequence[Log], height: int | None) -> tuple[int, str, list[Log]]:
    """Height and hash of the block that `logs` are of, and its logs.

    `height` chooses one of several. Raises `InputError` where it is needed, or names none of them.
    """
    blocks: dict[int, str] = {}
    for log in logs:
        at = number(log.block_number, f"log {log.log_index}.blockNumber")
        if blocks.setdefault(at, log.block_hash) != log.block_hash:
            raise InputError(
                "two blocks of one height", field="--receipts", value=f"{at}: {log.block_hash}",
                mend="give the logs of one chain",
            )
    if not blocks:
        raise InputError(
            "no log names a block", field="--receipts", value="an empty list",
            mend="give the block too, with --block",
        )
    named = ", ".join(map(str, sorted(blocks)))
    if height is None and len(blocks) > 1:
        raise InputError(
            "the logs are of several blocks", field="--receipts", value=named,
            mend="choose one with --height",
        )
    chosen = next(iter(blocks)) if height is None else height
    if chosen not in blocks:
        raise InputError(
            "no log is of this block", field="--height", value=height, mend=f"use one of {named}"
        )
    ours = [log for log in logs if number(log.block_number, "log.blockNumber") == chosen]
    _numbered_once(ours)
    return chosen, blocks[chosen], ours


def _content(log: Log) -> tuple[object, ...]:
    return log.transaction_hash, log.address.lower(), tuple(log.topics), log.data


def _numbered_once(logs: Sequence[Log]) -> None:
    counted = Counter(log.log_index for log in logs)
    twice = next((index for index, count in counted.items() if count > 1), None)
    if twice is not None:
        raise InputError(
            "two logs of one number in a block", field="logIndex", value=twice,
            mend="give the receipts, or eth_getLogs: erigon_getLatestLogs numbers them otherwise",
        )


def _same_count(field: str, what: str, count: int, block: Block) -> None:
    if count != len(block.transactions):
        raise InputError(
            f"not as many {what} as the block has transactions", field=field, value=count,
            mend=f"block {block.hash} has {len(block.transactions)}: give those of this block",
        )


def _same_hash(field: str, stated: str | None, block: Block) -> None:
    if stated is not None and stated.lower() != block.hash.lower():
        raise InputError(
            "this is of another block", field=field, value=stated,
            mend=f"give what belongs to block {block.hash}",
        )


def _other_transaction(field: str, tx: str | None) -> InputError:
    return InputError(
        "the trace is of another transaction", field=field, value=tx,
        mend="give all traces of the block, in its order",
    )
