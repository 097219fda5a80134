"""A date on Ethereum becomes a height by the headers' times, block 0's left aside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from tracker.chains.ethereum.records import Header
from tracker.domain.chain import Tip
from tracker.scanning.block_times import ethereum_height

MERGED = datetime(2022, 9, 15, 6, 42, 59, tzinfo=UTC)


class Headers:
    """Headers twelve seconds apart from `MERGED` on; block 0 says 1970, as mainnet's does."""

    def __init__(self, height: int) -> None:
        self._height = height
        self.asked: list[int] = []

    def tip(self) -> Tip:
        return Tip(self._height, bytes(32))

    def header(self, height: int) -> Header:
        self.asked.append(height)
        seconds = 0 if height == 0 else int(MERGED.timestamp()) + 12 * height
        fields = {name: "0x0" for name in Header.__struct_encode_fields__ if name != "uncles"}
        return msgspec.convert({**fields, "timestamp": hex(seconds)}, Header)


def test_the_height_is_within_two_hours_below_the_date() -> None:
    chain = Headers(8_000_000)
    at = datetime(2024, 1, 31, tzinfo=UTC)
    found = ethereum_height(chain, at)
    below = at - (MERGED + timedelta(seconds=12 * found))
    assert timedelta(0) < below <= timedelta(hours=2)
    assert len(chain.asked) <= 8
    assert 0 not in chain.asked


def test_a_date_before_the_first_block_is_the_first_block() -> None:
    assert ethereum_height(Headers(100), MERGED - timedelta(days=400)) == 1
    assert ethereum_height(Headers(0), MERGED) == 0
