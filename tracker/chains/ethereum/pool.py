"""The configured Ethereum sources, as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tracker.chains.ethereum.records import (
    BlockRecords,
    Header,
    Log,
    Trace,
    TracedTransaction,
)
from tracker.chains.ethereum.sources import open_sources
from tracker.chains.members import Words
from tracker.chains.pool import SourcePool
from tracker.chains.port import EthereumSource, Probe
from tracker.config import Settings
from tracker.domain.chain import Tip
from tracker.errors import (
    NotFoundError,
    PrunedStateError,
    SourceUnavailableError,
    TrackerError,
)

Answer = TypeVar("Answer")
Traces = list[Trace] | list[TracedTransaction]


@dataclass(frozen=True, slots=True)
class Settlement:
    """The blocks of the `finalized` and `safe` tags; None where the source knows no such tag."""

    final_block: Tip | None
    safe_block: Tip | None

    @property
    def final(self) -> int | None:
        """The height of the `finalized` block."""
        return None if self.final_block is None else self.final_block.height


class EthereumPool(SourcePool[EthereumSource]):
    """Several nodes behind the port of one."""

    words = Words(
        chain="Ethereum",
        setting="TRACKER_ETHEREUM_RPC_URLS",
        network_setting="TRACKER_ETHEREUM_CHAIN_ID",
        example="https://host/key",
    )

    def block(self, block_hash: bytes) -> BlockRecords:
        """The block, checked, from the first source that has it; without traces."""
        return self.serve(block_hash, lambda source: source.block(block_hash))

    def header(self, height: int) -> Header:
        """The header at `height`; raises `SourceUnavailableError` where no source has one there."""
        return self.ask(lambda source: _present(source.header(height), height))

    def traces(self, block_hash: bytes) -> Traces | None:
        """The block's call frames from the first source that offers any; None where none does."""

        def offered(source: EthereumSource) -> Traces:
            found = source.traces(block_hash)
            if found is None:
                raise _NotOfferedError(
                    "no traces are offered", field="source", value=source.name,
                    mend="use a node with the trace or debug API",
                )
            return found

        try:
            return self.ask(offered)
        except SourceUnavailableError:
            return None  # the block is applied without them, and says so

    def settlement(self) -> Settlement:
        """How far the preferred source says that the chain is settled."""

        def read(source: EthereumSource) -> Settlement:
            return Settlement(source.finalized(), source.safe())

        return self.ask(read)

    def balances(
        self, keys: Sequence[bytes], tokens: Sequence[bytes], block_hash: bytes
    ) -> dict[Probe, int | None]:
        """Each key's ether (token None) and tokens after the block; None where a call failed.

        Raises `PrunedStateError` where no source that answers has the block's state any more.
        """
        return self._with_state(lambda source: source.balances(keys, tokens, block_hash))

    def call(self, to: bytes, data: bytes, block_hash: bytes) -> bytes | None:
        """What a contract returns after the block; raises as `balances`."""
        return self._with_state(lambda source: source.call(to, data, block_hash))

    def logs(
        self,
        first: int,
        last: int,
        addresses: Sequence[bytes] = (),
        topics: Sequence[Sequence[bytes] | None] = (),
    ) -> list[Log]:
        """Logs of final blocks that pass the filter."""
        return self.ask(lambda source: source.logs(first, last, addresses, topics))

    def _with_state(self, call: Callable[[EthereumSource], Answer]) -> Answer:
        pruned: list[PrunedStateError] = []

        def read(source: EthereumSource) -> Answer:
            try:
                return call(source)
            except PrunedStateError as error:
                pruned.append(error)
                raise _NotOfferedError(
                    str(error), field="state", value=source.name, mend=error.mend
                ) from None

        try:
            return self.ask(read)
        except TrackerError:
            if pruned:
                raise pruned[0] from None
            raise


class _NotOfferedError(NotFoundError):
    """This source cannot say; it is no reason to shun it."""


def _present(header: Header | None, height: int) -> Header:
    if header is None:
        raise NotFoundError(
            "no block at this height (yet)", field="height", value=height,
            mend="it is asked for again",
        )
    return header


def open_pool(settings: Settings) -> EthereumPool:
    """All configured Ethereum sources as one; raises `ConfigError` for a bad URL or for none."""
    from tracker.chains.ethereum.network import network_name

    return EthereumPool(
        open_sources(settings), network=network_name(settings.ethereum_chain_id)
    )
