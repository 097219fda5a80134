"""One Ethereum node or provider, over JSON-RPC, as a source of blocks, logs and state.

Method names and their answers: https://ethereum.github.io/execution-apis/ . Blocks are asked for
by hash with all their receipts, which tells a provider nothing of what is watched; `logs`,
`balances` and `call` name the addresses that they ask about.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

from msgspec import Raw

from tracker.chains.ethereum.abilities import Abilities
from tracker.chains.ethereum.check import check_block, check_header, check_logs, check_receipts
from tracker.chains.ethereum.decode import (
    block_reply,
    decoded,
    header_reply,
    logs_reply,
    plain_block,
    receipt_reply,
    receipts_reply,
)
from tracker.chains.ethereum.envelope import SealedBlock, SealedHeader
from tracker.chains.ethereum.errors import RangeTooLargeError
from tracker.chains.ethereum.log_reader import LogReader
from tracker.chains.ethereum.network import network_name
from tracker.chains.ethereum.quantity import data_reply, hexed, quantity_reply
from tracker.chains.ethereum.records import (
    BlockRecords,
    Header,
    Log,
    Receipt,
    Trace,
    TracedTransaction,
)
from tracker.chains.ethereum.rpc import LONG_BYTES, Call, RpcClient
from tracker.chains.ethereum.state import StateReader
from tracker.chains.ethereum.trace_reader import TraceReader
from tracker.chains.port import Probe
from tracker.domain.chain import Tip
from tracker.errors import (
    InputError,
    InvalidBlockError,
    MethodMissingError,
    NotFoundError,
    ReplyError,
    TrackerError,
)

_REMEMBERED_HEIGHTS = 1024


class RpcSource:
    """An adapter over one endpoint, safe to share between threads."""

    kind = "rpc"

    def __init__(
        self, rpc: RpcClient, *, chain_id: int = 1, verify: bool = True, traces: bool = True,
        abilities: Abilities | None = None,
    ) -> None:
        """`verify` False believes what the node says; `traces` False never asks for them."""
        self._rpc = rpc
        self.name = f"rpc+{rpc.name}"
        self._verify = verify
        self._abilities = abilities or Abilities()
        self._wants_traces = traces
        self._traces = TraceReader(rpc, self._abilities)
        self._logs = LogReader(rpc)
        self._final = -1
        self._heights: OrderedDict[bytes, int] = OrderedDict()
        self._lock = threading.Lock()
        self._state = StateReader(rpc, self._abilities, self._height, mainnet=chain_id == 1)

    def network(self) -> str | None:
        """The name of its chain: `mainnet`, `sepolia`… or `chain-31337`.

        A chain that says it is a public one and has another first block is `another chain (…)`.
        """
        chain, first = self._rpc.batch([
            Call("eth_chainId"), Call("eth_getBlockByNumber", ["0x0", False])
        ])
        text = decoded(_given(chain), str, self.name, "chain id")
        chain_id = quantity_reply(text, self.name, "chain id")
        genesis = None
        if not isinstance(first, NotFoundError):  # a node may have let go of old blocks
            genesis = self._header(_given(first), height=0)
        return network_name(chain_id, None if genesis is None else genesis.hash)

    def tip(self) -> Tip:
        """The newest block, in one call."""
        found = self._tagged("latest")
        if found is None:
            raise ReplyError(
                f"{self.name} knows no newest block", field="tip", value="latest",
                mend="it may still be starting; it is tried again by itself",
            )
        return found

    def finalized(self) -> Tip | None:
        """The newest block that can no longer be undone; None where the node cannot tell.

        A node started a moment ago, or a local chain, may name block 0.
        """
        found = self._tagged("finalized")
        if found is not None:
            self._final = max(self._final, found.height)
        return found

    def safe(self) -> Tip | None:
        """The newest block that is unlikely to be undone; None where the node cannot tell."""
        return self._tagged("safe")

    def block_hash(self, height: int) -> bytes | None:
        """The hash of its chain at `height`; None where it has none there (yet)."""
        found = self.header(height)
        return None if found is None else data_reply(found.hash, self.name, "hash", size=32)

    def header(self, height: int) -> Header | None:
        """The header of its chain at `height`; None where it has none there (yet)."""
        return self._header(
            self._rpc.call("eth_getBlockByNumber", [hex(height), False]), height=height
        )

    def block(self, block_hash: bytes) -> BlockRecords:
        """The block with all receipts and logs, verified; traces are asked for apart.

        `receipts` is None where the node gives none in any way: the logs are then whole as far as
        the bloom filter tells. Raises `NotFoundError` where the node lacks the block, and
        `InvalidBlockError` for what does not fit the hash.
        """
        asked = hexed(block_hash)
        calls = [Call("eth_getBlockByHash", [asked, True])]
        whole = self._abilities.may("eth_getBlockReceipts")
        if whole:
            calls.append(Call("eth_getBlockReceipts", [asked]))
        answers = self._rpc.batch(calls, limit=LONG_BYTES)
        block = block_reply(_given(answers[0]), self.name)
        if block is None:
            raise self._lacks(block_hash)
        if self._verify:
            check_block(block, asked=block_hash)
        elif block.hash != asked:
            raise InvalidBlockError(
                f"{self.name} sent another block than {asked}", field="block", value=block.hash,
                mend="take the block from another source",
            )
        self._remember(block_hash, quantity_reply(block.number, self.name, "number"))
        receipts = None
        if whole:
            try:
                receipts = receipts_reply(_given(answers[1]), self.name)
            except MethodMissingError:
                self._abilities.lacks("eth_getBlockReceipts")
                whole = False
            else:
                if receipts is None:
                    raise self._lacks(block_hash)
        if not whole:
            receipts = self._single_receipts(block, block_hash)
        if receipts is None:
            return self._with_logs(block, asked)
        if self._verify:
            check_receipts(block, receipts)
        return BlockRecords(
            plain_block(block), receipts, [log for receipt in receipts for log in receipt.logs]
        )

    def traces(self, block_hash: bytes) -> list[Trace] | list[TracedTransaction] | None:
        """The block's call frames, flat or as trees; None where the node offers neither.

        They are believed, but for the block that they say they are of. The first block has none.
        None, too, for trees nested deeper than can be read.
        """
        if not self._wants_traces:
            return None
        return self._traces.read(block_hash, self._height(block_hash))

    def logs(
        self, first: int, last: int, addresses: Sequence[bytes] = (),
        topics: Sequence[Sequence[bytes] | None] = (),
    ) -> list[Log]:
        """Logs of the final blocks `first` to `last`, in pieces as long as the node gives.

        No addresses means any; `topics` holds for each place the values let through, None any.
        That none is left out is believed: `block` proves it for one block. Raises `InputError`
        above the final height, where a range would mix two chains; a node that cannot tell that
        height is asked all the same.
        """
        if last > self._final:
            final = self.finalized()
            if final is not None and last > final.height:
                raise InputError(
                    "logs are read by range below the final height only", field="last", value=last,
                    mend=f"end at {final.height}, and read newer blocks one by one by their hash",
                )
        return self._logs.read(first, last, addresses, topics)

    def balances(
        self, keys: Sequence[bytes], tokens: Sequence[bytes], block_hash: bytes
    ) -> dict[Probe, int | None]:
        """Ether and token balances after the block, as `StateReader.balances` gives them."""
        return self._state.balances(keys, tokens, block_hash)

    def call(self, to: bytes, data: bytes, block_hash: bytes) -> bytes | None:
        """What a contract returns after the block; None where it refuses, empty where none is."""
        return self._state.call(to, data, block_hash)

    def close(self) -> None:
        """Close the kept connections."""
        self._rpc.close()

    def _tagged(self, tag: Literal["latest", "safe", "finalized"]) -> Tip | None:
        try:
            raw = self._rpc.call("eth_getBlockByNumber", [tag, False])
        except (ReplyError, NotFoundError):
            if tag == "latest":
                raise
            return None  # a node of before the merge, or one that knows no final block yet
        header = self._header(raw)
        if header is None:
            return None
        found = data_reply(header.hash, self.name, "hash", size=32)
        return Tip(quantity_reply(header.number, self.name, "number"), found)

    def _header(
        self, raw: Raw, *, height: int | None = None, asked: bytes | None = None
    ) -> SealedHeader | None:
        header = header_reply(raw, self.name)
        if header is None:
            return None
        if self._verify:
            check_header(header, height=height, asked=asked)
        elif height is not None and quantity_reply(header.number, self.name, "number") != height:
            raise ReplyError(
                f"{self.name} answered with another height", field="number", value=header.number,
                mend=f"block {height} was asked for; another source is asked",
            )
        self._remember(
            data_reply(header.hash, self.name, "hash", size=32),
            quantity_reply(header.number, self.name, "number"),
        )
        return header

    def _height(self, block_hash: bytes) -> int:
        """The number of a block, remembered or asked for; raises `NotFoundError`."""
        known = self._heights.get(block_hash)
        if known is not None:
            return known
        raw = self._rpc.call("eth_getBlockByHash", [hexed(block_hash), False])
        header = self._header(raw, asked=block_hash)
        if header is None:
            raise self._lacks(block_hash)
        return quantity_reply(header.number, self.name, "number")

    def _remember(self, block_hash: bytes, height: int) -> None:
        with self._lock:
            self._heights[block_hash] = height
            self._heights.move_to_end(block_hash)
            if len(self._heights) > _REMEMBERED_HEIGHTS:
                self._heights.popitem(last=False)

    def _single_receipts(self, block: SealedBlock, block_hash: bytes) -> list[Receipt] | None:
        """All receipts one by one; None where the node does not give them so either."""
        method = "eth_getTransactionReceipt"
        if not self._abilities.may(method):
            return None
        receipts = []
        for answer in self._rpc.batch(
            [Call(method, [tx.hash]) for tx in block.transactions], limit=LONG_BYTES
        ):
            if isinstance(answer, MethodMissingError):
                self._abilities.lacks(method)
                return None
            receipt = receipt_reply(_given(answer), self.name)
            if receipt is None:  # the chain forked in the meantime
                raise self._lacks(block_hash)
            receipts.append(receipt)
        return receipts

    def _with_logs(self, block: SealedBlock, asked: str) -> BlockRecords:
        try:
            raw = self._rpc.call("eth_getLogs", [{"blockHash": asked}], limit=LONG_BYTES)
        except RangeTooLargeError as error:
            raise NotFoundError(
                f"{self.name} will not give the logs of a single block", field="block", value=asked,
                mend="another source is asked",
            ) from error
        logs = logs_reply(raw, self.name)
        if self._verify:
            check_logs(block, logs)
        return BlockRecords(plain_block(block), None, logs)

    def _lacks(self, block_hash: bytes) -> NotFoundError:
        return NotFoundError(
            f"{self.name} does not have the block", field="block", value=block_hash.hex(),
            mend="it may lag, or the chain forked; another source is asked",
        )


def _given(answer: Raw | TrackerError) -> Raw:
    if isinstance(answer, TrackerError):
        raise answer
    return answer


