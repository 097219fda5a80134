"""Who named a block as the one at a height, and who sent it, for the newest blocks. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

Who = TypeVar("Who")

WITHHELD_TIMES = 3  # a balancer's nodes are out of step for a moment, not for longer
_REMEMBERED_BLOCKS = 256


@dataclass(slots=True)
class _Origin(Generic[Who]):
    named_by: Who | None = None
    height: int | None = None
    served_by: Who | None = None
    withheld: int = 0


class Provenance(Generic[Who]):
    """By block hash; the oldest are forgotten."""

    def __init__(self) -> None:
        self._origins: OrderedDict[bytes, _Origin[Who]] = OrderedDict()

    def named(self, block_hash: bytes, who: Who, height: int) -> None:
        """`who` says that this block stands at `height`."""
        origin = self._origin(block_hash)
        if origin.named_by is not who:
            origin.named_by, origin.withheld = who, 0
        origin.height = height

    def served(self, block_hash: bytes, who: Who) -> int | None:
        """`who` sent the block; returns its height where somebody named it."""
        origin = self._origin(block_hash)
        origin.served_by, origin.withheld = who, 0
        return origin.height

    def served_by(self, block_hash: bytes) -> Who | None:
        """Who sent the block; None where that is not remembered."""
        origin = self._origins.get(block_hash)
        return None if origin is None else origin.served_by

    def forget(self, block_hash: bytes) -> None:
        """Forget the block."""
        self._origins.pop(block_hash, None)

    def withheld(self, block_hash: bytes) -> Who | None:
        """Nobody has the block: who named it, once that has happened too often."""
        origin = self._origins.get(block_hash)
        if origin is None or origin.named_by is None:
            return None
        origin.withheld += 1
        if origin.withheld < WITHHELD_TIMES:
            return None
        self.forget(block_hash)
        return origin.named_by

    def _origin(self, block_hash: bytes) -> _Origin[Who]:
        origin = self._origins.setdefault(block_hash, _Origin())
        self._origins.move_to_end(block_hash)
        while len(self._origins) > _REMEMBERED_BLOCKS:
            self._origins.popitem(last=False)
        return origin
