"""From a date to a height, by the times of a chain's own blocks as a source has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

from tracker.chains.bitcoin.header import parse_header
from tracker.chains.ethereum.quantity import number
from tracker.chains.ethereum.records import Header
from tracker.domain.chain import Tip
from tracker.domain.dated_height import height_before
from tracker.errors import SourceUnavailableError

# A Bitcoin block's own time may be two hours ahead of the network's (Bitcoin Core, chain.h,
# MAX_FUTURE_BLOCK_TIME), so the block of a date may stand a little below the first one so dated.
_AHEAD = timedelta(hours=2)
_BITCOIN_WITHIN = 12  # some two hours of blocks
_ETHEREUM_WITHIN = 600  # two hours


class BitcoinBlocks(Protocol):
    """What is asked of the Bitcoin sources."""

    def tip(self) -> Tip:
        """The newest block."""

    def first_height(self) -> int | None:
        """The lowest height that is there; None: all are."""

    def block_hash(self, height: int) -> bytes | None:
        """The hash at `height`."""

    def block(self, block_hash: bytes) -> bytes:
        """The raw block."""


class EthereumHeaders(Protocol):
    """What is asked of the Ethereum sources."""

    def tip(self) -> Tip:
        """The newest block."""

    def header(self, height: int) -> Header:
        """The header at `height`."""


def bitcoin_height(blocks: BitcoinBlocks, at: datetime) -> int:
    """A height below every block of `at` and later, by some hours; whole blocks are fetched.

    Raises `SourceUnavailableError` where no source has what is looked at.
    """

    def time_of(height: int) -> datetime:
        found = blocks.block_hash(height)
        if found is None:
            raise SourceUnavailableError(
                "no source has a block that the date is looked up by", field="height",
                value=height, mend="give a height instead of a date",
            )  # fmt: skip
        return parse_header(blocks.block(found)).time

    first, last = blocks.first_height() or 0, blocks.tip().height
    return height_before(at - _AHEAD, min(first, last), last, time_of, within=_BITCOIN_WITHIN)


def ethereum_height(headers: EthereumHeaders, at: datetime) -> int:
    """A height below every block of `at` and later, by two hours at most."""

    def time_of(height: int) -> datetime:
        return datetime.fromtimestamp(number(headers.header(height).timestamp), UTC)

    last = headers.tip().height
    # Block 0 of mainnet states no real time; the first real one stands next to it.
    return height_before(at, min(1, last), last, time_of, within=_ETHEREUM_WITHIN)
