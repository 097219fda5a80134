"""The port to Bitcoin block sources: what every adapter answers, and what it raises.

Every method raises `SourceUnavailableError` where the source cannot be reached, times out or asks
to slow down, and `ReplyError` where it answers with something else than was asked for.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from tracker.domain.chain import Tip


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
