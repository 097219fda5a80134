"""Call frames of a block, from a node that offers them in one form or another.

`trace_block` (OpenEthereum's form, of Erigon, Nethermind, reth, Besu and anvil) is flat;
`debug_traceBlockByHash` with callTracer (go-ethereum's) gives trees. What they say is believed.
"""

from __future__ import annotations

from collections.abc import Callable

from tracker.chains.ethereum.abilities import Abilities
from tracker.chains.ethereum.decode import call_trees_reply, header_reply, traces_reply
from tracker.chains.ethereum.quantity import hexed
from tracker.chains.ethereum.records import Trace, TracedTransaction
from tracker.chains.ethereum.rpc import Call, RpcClient
from tracker.errors import MethodMissingError, NotFoundError, TrackerError

Traces = list[Trace] | list[TracedTransaction]

_REPLY_BYTES = 256 * 1024 * 1024


class TraceReader:
    """Tries what the node may offer, and remembers what it does not."""

    def __init__(self, rpc: RpcClient, abilities: Abilities) -> None:
        self._rpc = rpc
        self._abilities = abilities

    def read(self, block_hash: bytes, height: int) -> Traces | None:
        """The frames of the block at `height`; None where the node offers neither form.

        Raises `NotFoundError` where the block has left the node's chain.
        """
        if height == 0:
            return []  # the first block has no transactions, and nodes refuse to trace it
        asks: dict[str, Callable[[bytes, int], Traces | None]] = {
            "trace_block": self._flat, "debug_traceBlockByHash": self._trees,
        }
        for method, ask in asks.items():
            if self._abilities.may(method):
                try:
                    return ask(block_hash, height)
                except MethodMissingError:
                    self._abilities.lacks(method)
        return None

    def _flat(self, block_hash: bytes, height: int) -> list[Trace]:
        """`trace_block` takes no hash, so the hash at that height is read in the same breath."""
        answers = self._rpc.batch([
            Call("trace_block", [hex(height)]), Call("eth_getBlockByNumber", [hex(height), False]),
        ], limit=_REPLY_BYTES)
        for answer in answers:
            if isinstance(answer, TrackerError):
                raise answer
        raw, after = (answer for answer in answers if not isinstance(answer, TrackerError))
        traces = traces_reply(raw, self._rpc.name)
        header = header_reply(after, self._rpc.name)
        asked = hexed(block_hash)
        if (
            traces is None or header is None or header.hash != asked
            or any(trace.block_hash not in (None, asked) for trace in traces)
        ):
            raise NotFoundError(
                f"{self._rpc.name} no longer has the block on its chain", field="block",
                value=block_hash.hex(), mend="the chain forked; the new block is asked for",
            )
        return traces

    def _trees(self, block_hash: bytes, height: int) -> list[TracedTransaction] | None:
        raw = self._rpc.call(
            "debug_traceBlockByHash", [hexed(block_hash), {"tracer": "callTracer"}],
            limit=_REPLY_BYTES,
        )
        return call_trees_reply(raw, self._rpc.name)
