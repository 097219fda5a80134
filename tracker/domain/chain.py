"""The local chain against a source's tip: links, gaps, the fork point, finality. Pure.

Block hashes are bytes in display order, so that `.hex()` is what explorers show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Literal

Finality = Literal["latest", "safe", "final"]

# Blocks on top, the block itself counted, at which a Bitcoin block is shown as safe or final.
SAFE_DEPTH = 6
FINAL_DEPTH = 100


@dataclass(frozen=True, slots=True)
class BlockRef:
    """One block of a chain: enough to link it to its neighbours."""

    height: int
    hash: bytes
    parent: bytes
    time: datetime


@dataclass(frozen=True, slots=True)
class Tip:
    """The newest block that a source knows."""

    height: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Same:
    """The source's tip is our newest block: nothing to do."""


@dataclass(frozen=True, slots=True)
class Next:
    """The tip is one above ours; whether it links is known once its header is read (`links`)."""

    height: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Blocks `first` to `last`, both counted, stand between our newest block and the tip."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Behind:
    """The source's tip is older than ours.

    `agrees` is True where the tip is one of our own blocks (the source merely lags), and None where
    it is below all that was given, so that nothing can be said. A lagging source proves no fork.
    """

    height: int
    agrees: bool | None


@dataclass(frozen=True, slots=True)
class Fork:
    """The source has another block at `height` than we have; look below it with `fork_point`."""

    height: int


Verdict = Same | Next | Gap | Behind | Fork


def reconcile(local: Sequence[BlockRef], tip: Tip) -> Verdict:
    """Say how `tip` stands to `local`, our recent blocks, linked, newest last.

    Raises `ValueError` where `local` is empty (there is nothing to compare) or does not link.
    """
    check_links(local)
    head = local[-1]
    if tip.height == head.height + 1:
        return Next(tip.height)
    if tip.height > head.height:
        return Gap(head.height + 1, tip.height)
    depth = head.height - tip.height
    if depth >= len(local):
        return Behind(tip.height, agrees=None)
    ours = local[-1 - depth]
    if ours.hash != tip.hash:
        return Fork(tip.height)
    return Same() if depth == 0 else Behind(tip.height, agrees=True)


def links(head: BlockRef, block: BlockRef) -> bool:
    """Whether `block` is the child of `head`. False one height above it means a fork."""
    return block.height == head.height + 1 and block.parent == head.hash


def check_links(local: Sequence[BlockRef]) -> None:
    """Raise `ValueError` unless `local` is a chain: not empty, each block the child of the last."""
    if not local:
        raise ValueError("an empty local chain has no newest block to compare")
    for below, above in pairwise(local):
        if not links(below, above):
            raise ValueError(
                f"the local chain is broken: {above.hash.hex()} at {above.height} is not the child "
                f"of {below.hash.hex()} at {below.height}"
            )


def fork_point(
    local: Sequence[BlockRef], hash_at: Callable[[int], bytes | None]
) -> BlockRef | None:
    """Find the newest of `local` that the source's chain also holds; None where none is shared.

    `hash_at` gives the source's hash at a height, None above its tip. Agreement at a height means
    agreement at every height below it, so the search doubles its step downwards and then halves
    it: two questions for the usual one-block reorganisation, 2 log2(n) for the deepest.
    """
    check_links(local)

    def shared(index: int) -> bool:
        return hash_at(local[index].height) == local[index].hash

    apart = len(local)  # the lowest index known not to be shared
    step = 1
    candidate = apart - 1
    while not shared(candidate):
        apart = candidate
        if candidate == 0:
            return None
        candidate = max(0, candidate - step)
        step *= 2
    while apart - candidate > 1:
        middle = (candidate + apart) // 2
        if shared(middle):
            candidate = middle
        else:
            apart = middle
    return local[candidate]


def finality(
    height: int, tip_height: int, *, safe_depth: int = SAFE_DEPTH, final_depth: int = FINAL_DEPTH
) -> Finality:
    """Say how settled a canonical block at `height` is under `tip_height`, by its depth."""
    depth = tip_height - height + 1
    if depth >= final_depth:
        return "final"
    return "safe" if depth >= safe_depth else "latest"
