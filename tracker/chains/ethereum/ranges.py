"""Logs of a long range, in pieces as long as the provider will give.

Additive increase, multiplicative decrease: a refused piece is asked again as short as the refusal
says, else half as long; after each piece that came back small the next is longer by a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from tracker.chains.ethereum.errors import RangeTooLargeError
from tracker.errors import NotFoundError

Item = TypeVar("Item")

FIRST_BLOCKS = 100
STEP_BLOCKS = 100
MAX_BLOCKS = 10_000
FEW_ITEMS = 2_000  # a piece with more of them is long enough: replies must stay within our bound


class Piece(NamedTuple, Generic[Item]):
    """What came of the blocks `first` to `last`, both counted."""

    first: int
    last: int
    items: Sequence[Item]


class RangeReader:
    """Remembers from call to call how many blocks the source gives at once."""

    def __init__(
        self, *, first: int = FIRST_BLOCKS, step: int = STEP_BLOCKS, most: int = MAX_BLOCKS,
        few: int = FEW_ITEMS,
    ) -> None:
        self._most = max(1, most)
        self.width = min(max(1, first), self._most)
        self._step = max(1, step)
        self._few = few

    def pieces(
        self, first: int, last: int, ask: Callable[[int, int], Sequence[Item]]
    ) -> Iterator[Piece[Item]]:
        """Pieces that cover `first` to `last` exactly, in order; nothing where `last` is less.

        `ask(a, b)` gives the items of the blocks a to b or raises `RangeTooLargeError`. A single
        block that is refused raises `NotFoundError`: another source may have it.
        """
        start = first
        while start <= last:
            end = min(start + self.width - 1, last)
            try:
                items = ask(start, end)
            except RangeTooLargeError as error:
                if start == end:
                    raise NotFoundError(
                        "the source will not give the logs of a single block",
                        field="block", value=start, mend="ask another source, or one of your own",
                    ) from error
                self._shrink(start, end, error)
                continue
            yield Piece(start, end, items)
            if end - start + 1 >= self.width and len(items) <= self._few:
                self.width = min(self.width + self._step, self._most)
            start = end + 1

    def _shrink(self, start: int, end: int, error: RangeTooLargeError) -> None:
        """A shorter width, whatever the refusal says: at least one block less, never below one."""
        length = end - start + 1
        told = length // 2
        if error.suggested is not None and error.suggested[0] <= start:
            told = error.suggested[1] - start + 1
        if error.limit is not None and error.limit >= 1:
            # A rule, unless a longer range is suggested too: then it is one of two rules.
            if error.suggested is None or told <= error.limit:
                self._most = min(self._most, error.limit)
            if error.suggested is None:
                told = error.limit
        if not 1 <= told < length:
            told = length // 2
        self.width = max(1, min(told, self._most, length - 1))
