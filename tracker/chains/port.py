"""The port to Bitcoin block sources: what every adapter answers, and what it raises.

Every method raises `SourceUnavailableError` where the source cannot be reached, times out or asks
to slow down, and `ReplyError` where it answers with something else than was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from tracker.chains.ethereum.records import (
    BlockRecords,
    Header,
    Log,
    Trace,
    TracedTransaction,
)
from tracker.domain.chain import Tip
from tracker.domain.coins import ScriptHistory, UtxoSnapshot
from tracker.domain.match import Coin, ScannedTx
from tracker.errors import SourceUnavailableError


class SlowDownError(SourceUnavailableError):
    """The source asks for fewer questions (HTTP 429); `retry_after` where it says for how long."""


class ChainSource(Protocol):
    """What a pool needs of any chain's source. Hashes are bytes in display order."""

    @property
    def name(self) -> str:
        """What people see: the kind and the place, never a credential."""

    @property
    def kind(self) -> str:
        """What stands behind it, in a word: a pool's limits go by it."""

    def tip(self) -> Tip:
        """The newest block that the source knows."""

    def block_hash(self, height: int) -> bytes | None:
        """The hash of its chain at `height`; None where it has none there (yet)."""

    def network(self) -> str | None:
        """The network that its first block names; None where it cannot tell."""


@runtime_checkable
class BitcoinSource(Protocol):
    """A source of whole Bitcoin blocks. Hashes are bytes in display order."""

    @property
    def name(self) -> str:
        """What people see: the kind and the place, never a credential."""

    @property
    def kind(self) -> str:
        """`files`, `core` or `esplora`."""

    def tip(self) -> Tip:
        """The newest block that the source knows."""

    def block_hash(self, height: int) -> bytes | None:
        """The hash of its chain at `height`; None where it has none there (yet)."""

    def block(self, block_hash: bytes) -> bytes:
        """The raw block. Only the header is sure to be the one asked for: scan it to verify.

        Raises `NotFoundError` where the source lacks the block, and `InvalidBlockError` where
        what came is another block.
        """

    def network(self) -> str | None:
        """The network that its first block names; None where it cannot tell."""


@runtime_checkable
class PartialSource(Protocol):
    """A source that holds only a part of the chain, such as a folder of blocks."""

    def first_height(self) -> int | None:
        """The lowest height from which its chain is whole up to its tip; None where it is empty."""


@runtime_checkable
class SnapshotSource(Protocol):
    """A Bitcoin source that can list what scripts hold. It learns which scripts are asked for."""

    def snapshot(
        self, scripts: Sequence[bytes], progress: Callable[[float], None] | None = None
    ) -> UtxoSnapshot:
        """The confirmed unspent outputs of `scripts` at one tip.

        `progress` hears the share that is done, 0 to 1; what it raises ends the work. Raises
        `TooManyOutputsError` where the source does not list so many.
        """

    def balance(self, scripts: Sequence[bytes]) -> tuple[Tip, dict[bytes, int]]:
        """The confirmed balance of each script at one tip, in satoshi."""


@runtime_checkable
class SenderSource(Protocol):
    """A Bitcoin source that knows the coins which a transaction spent."""

    def prevouts(self, block_hash: bytes, tx: ScannedTx) -> Mapping[bytes, Coin]:
        """The coins that `tx` of the block spent, by outpoint; those it cannot tell are left out.

        What a public source says is believed only as far as it is proved.
        """


@runtime_checkable
class HistorySource(Protocol):
    """A Bitcoin source with an index by script."""

    def history(self, script: bytes, limit: int = 1000) -> ScriptHistory:
        """The newest `limit` confirmed transactions of `script`, newest first."""

    def first_used(self, script: bytes, limit: int = 1000) -> int | None:
        """The height of its first transaction; None where it was never used.

        Raises `LongHistoryError` where it has more than `limit` transactions.
        """


class Probe(NamedTuple):
    """A balance on Ethereum to ask for: of `key`, in `token`, or in ether where that is None."""

    key: bytes
    token: bytes | None


@runtime_checkable
class EthereumSource(Protocol):
    """A source of whole Ethereum blocks, of logs, and of state. Hashes are bytes as shown.

    State methods raise `PrunedStateError` where the source no longer has the block's state; what a
    source does not offer at all raises `MethodMissingError`, or is None where that is said.
    """

    @property
    def name(self) -> str:
        """What people see: the kind and the place, never a credential."""

    @property
    def kind(self) -> str:
        """What stands behind it: `rpc`."""

    def network(self) -> str | None:
        """The name of its chain: `mainnet`, `sepolia`, or `chain-31337` by its id."""

    def tip(self) -> Tip:
        """The newest block that the source knows."""

    def safe(self) -> Tip | None:
        """The newest block that is unlikely to be undone; None where the source cannot tell."""

    def finalized(self) -> Tip | None:
        """The newest block that can no longer be undone; None where the source cannot tell."""

    def block_hash(self, height: int) -> bytes | None:
        """The hash of its chain at `height`; None where it has none there (yet)."""

    def header(self, height: int) -> Header | None:
        """The header of its chain at `height`; None where it has none there (yet)."""

    def block(self, block_hash: bytes) -> BlockRecords:
        """The block with receipts and logs, checked against its hash; without traces.

        Raises `NotFoundError` where the source lacks it, `InvalidBlockError` where it does not fit.
        """

    def traces(self, block_hash: bytes) -> list[Trace] | list[TracedTransaction] | None:
        """The block's call frames, which are believed; None where the source offers none."""

    def logs(
        self, first: int, last: int, addresses: Sequence[bytes] = (),
        topics: Sequence[Sequence[bytes] | None] = (),
    ) -> list[Log]:
        """Logs of the final blocks `first` to `last` that pass the filter.

        Raises `InputError` above the final height.
        """

    def balances(
        self, keys: Sequence[bytes], tokens: Sequence[bytes], block_hash: bytes
    ) -> dict[Probe, int | None]:
        """Each key's ether (token None) and tokens after the block; None where a call failed."""

    def call(self, to: bytes, data: bytes, block_hash: bytes) -> bytes | None:
        """What a contract returns after the block; None where it refuses, empty where none is."""
