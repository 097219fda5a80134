"""What a provider says of a block, checked before it is used.

A block hash commits to the header, and the header to transactions, receipts (so to logs) and
withdrawals, so all of these are recomputed from what came; senders are recovered from their
signatures. What stays believed of a block: the price of blob gas (`blobGasPrice`), the `gasPrice`
that nodes add to transactions of dynamic fee (the receipt's `effectiveGasPrice` is checked), and
that the hash is one that validators agreed on, which only other sources can confirm. Traces and
balances have no root here, and stay believed. What a provider can still do is withhold.

Every function raises `InvalidBlockError` naming what does not fit.
"""

from __future__ import annotations

from collections.abc import Sequence

from eth_hash.auto import keccak

from tracker.chains.ethereum import rlp, signer
from tracker.chains.ethereum.envelope import (
    BLOB,
    BLOB_GAS,
    SealedBlock,
    SealedHeader,
    SignedTransaction,
    effective_price,
    header_bytes,
    kind_of,
    parity,
    receipt_bytes,
    transaction_bytes,
    withdrawal_bytes,
)
from tracker.chains.ethereum.quantity import hexed, number, octets
from tracker.chains.ethereum.records import Log, Receipt
from tracker.chains.ethereum.roots import logs_bloom, ordered_root
from tracker.errors import InvalidBlockError


def check_header(
    header: SealedHeader, *, asked: bytes | None = None, height: int | None = None,
    parent: bytes | None = None,
) -> bytes:
    """The block hash, recomputed; equal to the one stated and to the one `asked` for.

    `height` and `parent` are checked where given.
    """
    try:
        found = keccak(header_bytes(header))
        stated = octets(header.hash)
        place = number(header.number)
    except ValueError as error:
        raise _invalid(f"the header cannot be read: {error}", "header", header.hash) from None
    if found != stated:
        raise _invalid("the header does not hash to the hash it states", "header", hexed(found))
    if asked is not None and found != asked:
        raise _invalid(f"another block than {hexed(asked)}", "block", hexed(found))
    if height is not None and place != height:
        raise _invalid(f"another height than {height}", "number", place)
    if parent is not None and octets(header.parent_hash) != parent:
        raise _invalid(
            "the header does not link to the block below it", "parentHash", header.parent_hash
        )
    return found


def check_block(block: SealedBlock, *, asked: bytes, parent: bytes | None = None) -> None:
    """Header, transactions with their senders, and withdrawals of the block `asked` for."""
    check_header(block, asked=asked, parent=parent)
    _check_transactions(block)
    try:
        root = ordered_root([withdrawal_bytes(item) for item in block.withdrawals or ()])
    except ValueError as error:
        raise _invalid(f"a withdrawal cannot be read: {error}", "withdrawals") from None
    if block.withdrawals_root is None:
        if block.withdrawals:
            raise _invalid("withdrawals in a block of before Shanghai", "withdrawals")
    elif root != octets(block.withdrawals_root):
        raise _invalid("the withdrawals are not the block's", "withdrawalsRoot", hexed(root))


def check_receipts(block: SealedBlock, receipts: Sequence[Receipt]) -> None:
    """The receipts of all transactions of a checked `block`, with their logs.

    Where receipts of before Byzantium come without the state root that they had, their root
    cannot be recomputed, and the bloom filter is compared instead.
    """
    if len(receipts) != len(block.transactions):
        raise _invalid(
            f"{len(receipts)} receipts for {len(block.transactions)} transactions", "receipts"
        )
    if any(receipt.status is None and receipt.root is None for receipt in receipts):
        check_logs(block, [log for receipt in receipts for log in receipt.logs])
    else:
        try:
            root = ordered_root([receipt_bytes(receipt) for receipt in receipts])
        except ValueError as error:
            raise _invalid(f"a receipt cannot be read: {error}", "receipts") from None
        if root != octets(block.receipts_root):
            raise _invalid("the receipts are not the block's", "receiptsRoot", hexed(root))
        _check_places(block, [log for receipt in receipts for log in receipt.logs])
    used = 0
    for index, (tx, receipt) in enumerate(zip(block.transactions, receipts, strict=True)):
        used = _check_receipt(block, index, tx, receipt, used)


def check_logs(block: SealedBlock, logs: Sequence[Log]) -> None:
    """All logs of a checked `block`, where its receipts cannot be had: filter and places.

    Weaker than receipts: a log withheld goes unseen where others set the same bits, and amounts
    stay believed. The numbering must have no gap, so one left out of the middle is found.
    """
    _check_places(block, logs)
    try:
        bloom = logs_bloom(
            (octets(log.address), [octets(topic) for topic in log.topics]) for log in logs
        )
        stated = octets(block.logs_bloom)
    except ValueError as error:
        raise _invalid(f"a log cannot be read: {error}", "logs") from None
    if bloom != stated:
        raise _invalid("the logs are not the block's", "logsBloom")


def _check_transactions(block: SealedBlock) -> None:
    recoverable = signer.library() is not None
    raw = []
    for index, tx in enumerate(block.transactions):
        try:
            envelope, signed = transaction_bytes(tx)
            place = index if tx.transaction_index is None else number(tx.transaction_index)
        except ValueError as error:
            raise _invalid(
                f"a transaction cannot be read: {error}", "transactions", tx.hash
            ) from None
        if hexed(keccak(envelope)) != tx.hash:
            raise _invalid("a transaction does not have the hash it states", "hash", tx.hash)
        if place != index:
            raise _invalid("a transaction is out of place", "transactionIndex", tx.hash)
        if recoverable:
            _check_sender(tx, signed)
        raw.append(envelope)
    root = ordered_root(raw)
    if root != octets(block.transactions_root):
        raise _invalid("the transactions are not the block's", "transactionsRoot", hexed(root))


def _check_sender(tx: SignedTransaction, signed: bytes) -> None:
    found = signer.recover(keccak(signed), number(tx.r or ""), number(tx.s or ""), parity(tx))
    if found is None or hexed(found) != tx.from_:
        raise _invalid(f"another one signed {tx.hash}", "from", tx.from_)


def _check_places(block: SealedBlock, logs: Sequence[Log]) -> None:
    """Each log is of this block, says its transaction rightly, and is numbered without a gap."""
    hashes = [tx.hash for tx in block.transactions]
    before = 0
    for index, log in enumerate(logs):
        try:
            place, turn = number(log.log_index), number(log.transaction_index or "")
        except ValueError:
            raise _invalid("a log has no number", "logIndex", log.log_index) from None
        if place != index:
            raise _invalid(f"a log has number {place} where {index} is due", "logIndex")
        if log.removed or log.block_hash != block.hash or log.block_number != block.number:
            raise _invalid("a log is of another block", "blockHash", log.block_hash)
        if not before <= turn < len(hashes) or log.transaction_hash != hashes[turn]:
            raise _invalid("a log is of another transaction", "transactionHash",
                           log.transaction_hash)
        before = turn


def _check_receipt(
    block: SealedBlock, index: int, tx: SignedTransaction, receipt: Receipt, used: int
) -> int:
    """What the receipts' root does not cover: returns the gas used up to this one."""
    try:
        total = number(receipt.cumulative_gas_used)
        facts: tuple[tuple[str, object, object], ...] = (
            ("transactionHash", receipt.transaction_hash, tx.hash),
            ("blockHash", receipt.block_hash or block.hash, block.hash),
            ("transactionIndex", number(receipt.transaction_index or hex(index)), index),
            ("gasUsed", number(receipt.gas_used), total - used),
            ("from", receipt.from_ or tx.from_, tx.from_),
            ("to", receipt.to or tx.to, tx.to),
        )
        if receipt.effective_gas_price is not None:
            price = effective_price(tx, number(block.base_fee_per_gas or "0x0"))
            facts += (("effectiveGasPrice", number(receipt.effective_gas_price), price),)
        if receipt.contract_address is not None:
            made = rlp.items((rlp.text(octets(tx.from_)), rlp.integer(number(tx.nonce or ""))))
            facts += (
                ("contractAddress", receipt.contract_address, hexed(keccak(made)[12:])),
            )
        if receipt.blob_gas_used is not None and kind_of(tx) == BLOB:
            blobs = len(tx.blob_versioned_hashes or ())
            facts += (("blobGasUsed", number(receipt.blob_gas_used), blobs * BLOB_GAS),)
    except ValueError as error:
        raise _invalid(f"a receipt cannot be read: {error}", "receipts", tx.hash) from None
    for field, stated, due in facts:
        if stated != due:
            raise _invalid(f"the receipt of {tx.hash} does not fit: {due} is due", field, stated)
    if any(log.transaction_hash != tx.hash for log in receipt.logs):
        raise _invalid("a log stands in another transaction's receipt", "logs", tx.hash)
    return total


def _invalid(message: str, field: str, value: object = None) -> InvalidBlockError:
    return InvalidBlockError(
        message, field=field, value=value, mend="take the block from another source"
    )
