"""Whatever a provider refuses, the pieces of a range are the range: no gap, nothing twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.chains.ethereum.errors import RangeTooLargeError
from tracker.chains.ethereum.ranges import RangeReader
from tracker.errors import NotFoundError

block = st.integers(-50, 3000)
refusals = st.lists(
    st.one_of(
        st.none(),
        st.builds(
            lambda suggested, limit: RangeTooLargeError(
                "too large", suggested=suggested, limit=limit
            ),
            st.one_of(st.none(), st.tuples(block, block)),
            st.one_of(st.none(), st.integers(-5, 3000)),
        ),
    ),
    max_size=40,
)


@given(
    first=st.integers(0, 1000), length=st.integers(0, 500), refusals=refusals,
    width=st.integers(1, 600), step=st.integers(1, 300), most=st.integers(1, 600),
    few=st.integers(0, 100), capacity=st.integers(1, 700),
)
def test_the_pieces_are_the_range(
    first: int, length: int, refusals: list[RangeTooLargeError | None], width: int, step: int,
    most: int, few: int, capacity: int,
) -> None:
    last = first + length - 1
    left = list(refusals)

    def ask(start: int, end: int) -> list[int]:
        assert first <= start <= end <= last
        assert end - start + 1 <= most
        refusal = left.pop() if left else None
        if end > start and (refusal is not None or end - start + 1 > capacity):
            raise refusal or RangeTooLargeError("too large")
        return list(range(start, end + 1))

    reader = RangeReader(first=width, step=step, most=most, few=few)
    pieces = list(reader.pieces(first, last, ask))
    assert [item for piece in pieces for item in piece.items] == list(range(first, last + 1))
    assert [(piece.first, piece.last) for piece in pieces] == [
        (piece.items[0], piece.items[-1]) for piece in pieces
    ]
    assert 1 <= reader.width <= most


@given(first=st.integers(0, 100), length=st.integers(1, 200), bad=st.integers(0, 199))
def test_a_block_that_is_always_refused_ends_it_after_what_came_before(
    first: int, length: int, bad: int
) -> None:
    stuck = first + bad % length

    def ask(start: int, end: int) -> list[int]:
        if start <= stuck <= end:
            raise RangeTooLargeError("too large")
        return list(range(start, end + 1))

    got: list[int] = []

    def read() -> None:
        for piece in RangeReader().pieces(first, first + length - 1, ask):
            got.extend(piece.items)

    with pytest.raises(NotFoundError) as caught:
        read()
    assert caught.value.value == str(stuck)
    assert got == list(range(first, stuck))
