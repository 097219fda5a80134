"""Payouts of Safe multisigs, read from their own calls, for where there are no traces.

A Safe pays by `execTransaction(to, value, data, operation, …)`; `ExecutionSuccess` says that the
call went through. Only plain calls (operation 0) sent straight to the Safe are read; whatever else
moves ether inside transactions is left to the probe. Source: abi/safe.json, abi/SOURCES.md.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from eth_hash.auto import keccak

from tracker.chains.ethereum.assets import ETHER
from tracker.chains.ethereum.records import BlockRecords, Receipt
from tracker.domain.account import AccountKind, AccountMove

REF = "trace:safe"
_EXECUTE = keccak(
    b"execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)"
)[:4].hex()
_SUCCESS = "0x" + keccak(b"ExecutionSuccess(bytes32,uint256)").hex()
_WORD = 64  # hexadecimal digits
_CALL = 0


def payouts(records: BlockRecords, watched: Container[bytes]) -> Iterator[AccountMove]:
    """The ether that Safes paid out in a block, to or from watched addresses; kind `internal`."""
    receipts = {receipt.transaction_hash: receipt for receipt in records.receipts or ()}
    for tx in records.block.transactions:
        if tx.to is None or tx.input is None or not tx.input.startswith("0x" + _EXECUTE):
            continue
        words = tx.input[10:]
        receipt = receipts.get(tx.hash)
        if len(words) < 10 * _WORD or receipt is None or not _paid(receipt, tx.to):
            continue
        safe, to = bytes.fromhex(tx.to[2:]), bytes.fromhex(words[24:_WORD])
        value, operation = _number(words, 1), _number(words, 3)
        if not value or operation != _CALL or safe == to:
            continue
        key = bytes.fromhex(tx.hash[2:])
        for mine, other, amount in ((safe, to, -value), (to, safe, value)):
            if mine in watched:
                yield AccountMove(key, REF, AccountKind.INTERNAL, mine, ETHER, amount, other)


def _paid(receipt: Receipt, safe: str) -> bool:
    return receipt.status == "0x1" and any(
        log.address.lower() == safe.lower() and log.topics[:1] == [_SUCCESS]
        for log in receipt.logs
    )


def _number(words: str, place: int) -> int:
    return int(words[place * _WORD : (place + 1) * _WORD], 16)
