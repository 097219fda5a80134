"""Ledger against observed balances: what a block leaves unexplained, and in which block. Pure.

A difference is observed less ledger, in base units of one subject (an address and an asset). Where
it is the same at both ends of a range, nothing is looked for inside: two misses that cancel each
other within one range stay unseen until a record of either arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Apart(Generic[S]):
    """A subject whose difference changes from `below` at height `low` to `above` at `high`.

    `drifts`: it may change in every block (interest), so that one change more is no news.
    """

    subject: S
    low: int
    high: int
    below: int
    above: int
    drifts: bool = False


@dataclass(frozen=True, slots=True)
class Jump(Generic[S]):
    """The difference changed by `amount` within (`after`, `height`].

    `height` is the block itself where `after` is the one below it; a longer range could not be
    resolved, or is that of a drift.
    """

    subject: S
    after: int
    height: int
    amount: int

    @property
    def resolved(self) -> bool:
        """Whether the block is known."""
        return self.height - self.after == 1


def residual(before: int, after: int, explained: Iterable[int]) -> int:
    """What a block did to a balance beyond the movements that explain it."""
    return after - before - sum(explained)


def jumps(
    ranges: Iterable[Apart[S]],
    differences_at: Callable[[int, list[S]], Mapping[S, int | None]],
) -> list[Jump[S]]:
    """The blocks in which differences changed, by halving; ordered by height.

    `differences_at` tells the differences of subjects after one block, None where it is too old to
    tell; it is asked once a height and round. Ranges that it cannot halve come back whole, and so
    does what drifts where it changed in both halves.
    """
    found: list[Jump[S]] = []
    open_ranges = [each for each in ranges if each.below != each.above]
    while open_ranges:
        wanted: dict[int, list[S]] = {}
        wide = []
        for each in open_ranges:
            if each.high - each.low == 1:
                found.append(_jump(each))
            else:
                wide.append(each)
                subjects = wanted.setdefault(_middle(each), [])
                if each.subject not in subjects:
                    subjects.append(each.subject)
        known = {height: differences_at(height, wanted[height]) for height in sorted(wanted)}
        open_ranges = []
        for each in wide:
            middle = _middle(each)
            there = known[middle].get(each.subject)
            if there is None or (each.drifts and there not in (each.below, each.above)):
                found.append(_jump(each))
                continue
            if there != each.below:
                open_ranges.append(replace(each, high=middle, above=there))
            if there != each.above:
                open_ranges.append(replace(each, low=middle, below=there))
    return sorted(found, key=lambda jump: jump.height)


def _middle(each: Apart[S]) -> int:
    return (each.low + each.high) // 2


def _jump(each: Apart[S]) -> Jump[S]:
    return Jump(each.subject, each.low, each.high, each.above - each.below)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a residual stands: `kind` None where nothing says why."""

    kind: str | None
    says: str

    @property
    def state(self) -> str:
        """`explained`, or `open`."""
        return "open" if self.kind is None else "explained"


def explain(
    *, native: bool, rebasing: bool, traced: bool | None, transferred: bool, resolved: bool
) -> Explanation:
    """Why a block changed a balance by more than its records say.

    `native`: the chain's own coin. `traced`: whether internal transfers were itemised.
    `transferred`: whether the token's logs moved this address's balance in the same block.
    """
    if rebasing:
        return Explanation("rebase", "the token changed balances without a transfer, as it does")
    if not resolved:
        return Explanation(
            "unresolved_range", "the blocks are older than the states that the sources keep"
        )
    if native and not traced:
        return Explanation(
            "internal", "contracts moved ether inside transactions; no source traced the block"
        )
    if not native and transferred:
        return Explanation("token", "the token moved another amount than its Transfer log states")
    return Explanation(None, "no record of the block explains it")
