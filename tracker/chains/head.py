"""Which tip is worth a rollback: the head last told, the branch under it, a rival that waits. Pure.

A branch is followed when it is longer than ours (in Bitcoin more work, which within a retarget
period is more blocks). A tip no higher than ours on another branch is a race that the next block
decides, a balancer over two nodes, or a node that was rolled back: only the last one stays.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from tracker.domain.chain import BlockRef, Tip

# How long a branch no longer than ours must stand, uncontradicted, before it is believed.
RIVAL_SECONDS = 120.0
# A tip that was told but not fetched is taken for an ancestor of one this much higher: a branch so
# deep is told apart by the blocks that were fetched.
_LIKELY_DEPTH = 3
_REMEMBERED_BLOCKS = 256

Standing = Literal["ours", "longer", "rival"]


@dataclass(slots=True)
class StickyHead:
    """The newest block told, and what is known of its branch."""

    tip: Tip | None = None
    _told: OrderedDict[int, bytes] = field(default_factory=OrderedDict)
    _branch: OrderedDict[int, bytes] = field(default_factory=OrderedDict)  # fetched to be applied
    _rival: Tip | None = None
    _rival_since: datetime | None = None

    def standing(self, found: Tip) -> Standing:
        """How `found` stands to the head: on our branch, above it (any branch), or against it."""
        if self.tip is None or found.height > self.tip.height:
            return "longer"
        known = self._branch.get(found.height)
        if known is None and found.height <= self.tip.height - _LIKELY_DEPTH:
            known = self._told.get(found.height)
        return "ours" if found.hash == known or found == self.tip else "rival"

    def follow(self, found: Tip) -> None:
        """`found` is told: it is the head from now on, unless it is a block under the head."""
        self._rival = self._rival_since = None
        if self.standing(found) == "ours":
            return
        for blocks in (self._told, self._branch):
            _drop(blocks, found.height)
        self.tip = found
        _keep(self._told, found.height, found.hash)

    def learn(self, height: int, block_hash: bytes) -> None:
        """A block of our branch: it was fetched to be applied."""
        if self._branch.get(height) != block_hash:  # what stood above it is no longer ours
            _drop(self._branch, height)
        _keep(self._branch, height, block_hash)

    def forget(self, block_hash: bytes) -> None:
        """A block that turned out to be none of ours."""
        for blocks in (self._told, self._branch):
            for height in [height for height, at in blocks.items() if at == block_hash]:
                del blocks[height]
        if self.tip is not None and self.tip.hash == block_hash:
            below = max(self._branch, default=None)
            self.tip = None if below is None else Tip(below, self._branch[below])

    def stand_on(self, branch: Iterable[BlockRef]) -> None:
        """Take the ledger's newest blocks, newest last, for the head and its branch."""
        blocks = list(branch)
        if not blocks:
            return
        head = Tip(blocks[-1].height, blocks[-1].hash)
        if self.tip != head:
            self.tip = head
            self._rival = self._rival_since = None
        self._told.clear()
        self._branch.clear()
        for block in blocks:
            self.learn(block.height, block.hash)

    def challenge(self, rival: Tip | None, now: datetime) -> bool:
        """A look at which nobody was on our branch and most were on that of `rival`.

        Returns whether it has stood long enough. None, or another rival, starts the time anew.
        """
        if rival is None:
            self._rival = self._rival_since = None
            return False
        if rival != self._rival or self._rival_since is None:
            self._rival, self._rival_since = rival, now
        return now - self._rival_since >= timedelta(seconds=RIVAL_SECONDS)


def _drop(blocks: OrderedDict[int, bytes], first: int) -> None:
    for height in [height for height in blocks if height >= first]:
        del blocks[height]


def _keep(blocks: OrderedDict[int, bytes], height: int, block_hash: bytes) -> None:
    blocks[height] = block_hash
    blocks.move_to_end(height)
    while len(blocks) > _REMEMBERED_BLOCKS:
        blocks.popitem(last=False)
