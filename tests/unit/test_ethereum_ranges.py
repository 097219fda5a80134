"""How long a range of logs is asked for at once, and what a refusal changes."""

from __future__ import annotations

import pytest

from tracker.chains.ethereum.errors import RangeTooLargeError
from tracker.chains.ethereum.ranges import MAX_BLOCKS, RangeReader
from tracker.errors import NotFoundError


class Provider:
    """Gives a number a block, but at most `limit` blocks, and says so as it likes."""

    def __init__(self, limit: int, *, says: str = "nothing", each: int = 1) -> None:
        self.limit, self.says, self.each = limit, says, each
        self.asked: list[tuple[int, int]] = []

    def __call__(self, first: int, last: int) -> list[int]:
        self.asked.append((first, last))
        if last - first + 1 > self.limit:
            raise RangeTooLargeError(
                "too large",
                suggested=(first, first + self.limit - 1) if self.says == "range" else None,
                limit=self.limit if self.says == "limit" else None,
            )
        return [block for block in range(first, last + 1) for _ in range(self.each)]


def read(reader: RangeReader, first: int, last: int, provider: Provider) -> list[int]:
    return [item for piece in reader.pieces(first, last, provider) for item in piece.items]


def test_a_range_longer_than_a_piece_is_read_in_pieces() -> None:
    provider = Provider(10_000)
    assert read(RangeReader(first=10, step=5), 100, 199, provider) == list(range(100, 200))
    assert [last - first + 1 for first, last in provider.asked] == [10, 15, 20, 25, 30]


def test_an_empty_range_asks_nothing() -> None:
    provider = Provider(10)
    assert read(RangeReader(), 5, 4, provider) == []
    assert provider.asked == []


def test_a_suggested_range_is_taken_at_once() -> None:
    provider = Provider(37, says="range")
    reader = RangeReader(first=1000, step=1)
    assert read(reader, 0, 36, provider) == list(range(37))
    read(RangeReader(first=1000, step=1), 0, 99, again := Provider(37, says="range"))
    assert again.asked[:2] == [(0, 99), (0, 36)]


def test_a_stated_limit_is_never_tried_again() -> None:
    provider = Provider(50, says="limit")
    assert read(RangeReader(first=1000, step=100), 0, 999, provider) == list(range(1000))
    assert sum(last - first + 1 > 50 for first, last in provider.asked) == 1


def test_without_a_word_it_is_halved_and_grows_again_by_steps() -> None:
    provider = Provider(30)
    reader = RangeReader(first=100, step=10)
    assert read(reader, 0, 199, provider) == list(range(200))
    widths = [last - first + 1 for first, last in provider.asked]
    assert widths[:5] == [100, 50, 25, 35, 17]


def test_what_was_learnt_is_kept_for_the_next_range() -> None:
    reader = RangeReader(first=100, step=1)
    read(reader, 0, 99, Provider(20))
    provider = Provider(20)
    read(reader, 100, 110, provider)
    assert provider.asked[0] == (100, 110)


def test_many_items_keep_it_from_growing() -> None:
    reader = RangeReader(first=10, step=10, few=100)
    read(reader, 0, 99, Provider(MAX_BLOCKS, each=11))
    assert reader.width == 10


def test_a_single_block_that_is_refused_is_for_another_source() -> None:
    with pytest.raises(NotFoundError) as caught:
        read(RangeReader(first=8), 5, 20, Provider(0))
    assert caught.value.value == "5"


@pytest.mark.parametrize("suggested", [(9, 8), (0, 10**9), (50, 60), (-5, -1)])
def test_a_senseless_suggestion_is_halved_instead(suggested: tuple[int, int]) -> None:
    asked: list[tuple[int, int]] = []

    def ask(first: int, last: int) -> list[int]:
        asked.append((first, last))
        if last - first + 1 > 10:
            raise RangeTooLargeError("too large", suggested=suggested)
        return []

    assert list(RangeReader(first=32, step=1).pieces(10, 41, ask))
    assert asked[:3] == [(10, 41), (10, 25), (10, 17)]
