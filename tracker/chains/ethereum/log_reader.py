"""Logs of final blocks by range, from one node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracker.chains.ethereum.decode import logs_reply
from tracker.chains.ethereum.quantity import hexed, quantity_reply
from tracker.chains.ethereum.ranges import RangeReader
from tracker.chains.ethereum.records import Log
from tracker.chains.ethereum.rpc import LONG_BYTES, RpcClient
from tracker.errors import ReplyError


class LogReader:
    """Asks in pieces as long as the node gives, and remembers how long that was."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc
        self._ranges = RangeReader()

    def read(
        self, first: int, last: int, addresses: Sequence[bytes],
        topics: Sequence[Sequence[bytes] | None],
    ) -> list[Log]:
        """The logs of the blocks `first` to `last` that pass the filter, in their order.

        No addresses means any; `topics` holds for each place the values let through, None any.
        Raises `ReplyError` for a log that was not asked for.
        """
        query: dict[str, Any] = {}
        if addresses:
            query["address"] = [hexed(address) for address in addresses]
        if topics:
            query["topics"] = [
                None if some is None else [hexed(topic) for topic in some] for some in topics
            ]

        def ask(start: int, end: int) -> list[Log]:
            span = {"fromBlock": hex(start), "toBlock": hex(end)}
            raw = self._rpc.call("eth_getLogs", [{**span, **query}], limit=LONG_BYTES)
            found = logs_reply(raw, self._rpc.name)
            for log in found:
                if not self._asked_for(log, start, end, query):
                    raise ReplyError(
                        f"{self._rpc.name} sent a log that was not asked for", field="logs",
                        value=log.transaction_hash, mend="another source is asked",
                    )
            return found

        return [log for piece in self._ranges.pieces(first, last, ask) for log in piece.items]

    def _asked_for(self, log: Log, start: int, end: int, query: dict[str, Any]) -> bool:
        wanted = query.get("topics", ())
        place = quantity_reply(log.block_number, self._rpc.name, "block number")
        return (
            start <= place <= end
            and ("address" not in query or log.address in query["address"])
            and len(log.topics) >= len(wanted)
            and all(
                some is None or topic in some
                for topic, some in zip(log.topics, wanted, strict=False)
            )
        )
