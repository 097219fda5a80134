"""From a node's JSON to typed records, with no dictionary in between.

Addresses come in any case (the JSON schema of the execution APIs allows it) and leave in small
letters, since matching compares text. Every function raises `ReplyError` for what is no such thing.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from tracker.chains.ethereum.envelope import SealedBlock, SealedHeader
from tracker.chains.ethereum.records import Block, Header, Log, Receipt, Trace, TracedTransaction
from tracker.errors import ReplyError
from tracker.log import get_logger

log = get_logger(__name__)

Decoded = TypeVar("Decoded")


def decoded(raw: Raw | bytes, kind: type[Decoded], source: str, what: str) -> Decoded:
    """`raw` as `kind`."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ReplyError(
            f"{source} answered without a proper {what}: {error}", field=what,
            value=bytes(raw)[:120].decode("utf-8", "replace"),
            mend="check that the source's URL leads to an Ethereum JSON-RPC endpoint",
        ) from None


def header_reply(raw: Raw | bytes, source: str) -> SealedHeader | None:
    """A header, of a reply with or without transactions; None where there is no such block."""
    header = decoded(raw, SealedHeader | None, source, "header")  # type: ignore[arg-type]
    if header is not None:
        header.miner = header.miner.lower()
    return header


def block_reply(raw: Raw | bytes, source: str) -> SealedBlock | None:
    """A full block, with all that can be checked; None where the node knows no such block."""
    block = decoded(raw, SealedBlock | None, source, "block")  # type: ignore[arg-type]
    if block is None:
        return None
    block.miner = block.miner.lower()
    for tx in block.transactions:
        tx.from_ = tx.from_.lower()
        tx.to = None if tx.to is None else tx.to.lower()
    for withdrawal in block.withdrawals or ():
        withdrawal.address = withdrawal.address.lower()
    return block


def receipts_reply(raw: Raw | bytes, source: str) -> list[Receipt] | None:
    """The receipts of a block; None where the node knows no such block."""
    receipts = decoded(raw, list[Receipt] | None, source, "receipts")  # type: ignore[arg-type]
    for receipt in receipts or ():
        _lowered(receipt)
    return receipts


def receipt_reply(raw: Raw | bytes, source: str) -> Receipt | None:
    """One receipt; None where the node knows no such transaction."""
    receipt = decoded(raw, Receipt | None, source, "receipt")  # type: ignore[arg-type]
    if receipt is not None:
        _lowered(receipt)
    return receipt


def logs_reply(raw: Raw | bytes, source: str) -> list[Log]:
    """A list of logs."""
    logs = decoded(raw, list[Log], source, "logs")
    for entry in logs:
        entry.address = entry.address.lower()
    return logs


def traces_reply(raw: Raw | bytes, source: str) -> list[Trace] | None:
    """The flat frames of a block; None where the node knows no such block."""
    return decoded(raw, list[Trace] | None, source, "traces")  # type: ignore[arg-type]


def call_trees_reply(raw: Raw | bytes, source: str) -> list[TracedTransaction] | None:
    """The call trees of a block; None where one is nested deeper than can be read.

    Calls nest up to 1024 deep, and anybody may make such a transaction: that is no node's fault.
    """
    try:
        return msgspec.json.decode(raw, type=list[TracedTransaction])
    except RecursionError:
        log.warning("traces_too_deep", source=source)
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return decoded(raw, list[TracedTransaction], source, "traces")


def plain_block(block: SealedBlock) -> Block:
    """The block as the rest of the tracker knows it."""
    shared: dict[str, Any] = {name: getattr(block, name) for name in Header.__struct_fields__}
    return Block(
        **shared, transactions=list(block.transactions), withdrawals=block.withdrawals or []
    )


def _lowered(receipt: Receipt) -> None:
    for name in ("from_", "to", "contract_address"):
        text = getattr(receipt, name)
        if text is not None:
            setattr(receipt, name, text.lower())
    for entry in receipt.logs:
        entry.address = entry.address.lower()
