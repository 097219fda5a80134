"""The merkle root that binds a block's transactions to its header."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


def merkle_root(hashes: Sequence[bytes]) -> tuple[bytes, bool]:
    """Return the root over `hashes` (internal order), and whether the list was mutated.

    A level of odd length repeats its last node, so a list with a repeated tail has the root of the
    shorter one (CVE-2012-2459). Two equal neighbours at any level give that away: no honest block
    has them, because no two transactions of a block are alike. Raises `ValueError` for no hashes.
    """
    if not hashes:
        raise ValueError("a merkle tree needs at least one leaf")
    level = list(hashes)
    mutated = False
    while len(level) > 1:
        left, right = level[::2], level[1::2]
        if any(map(bytes.__eq__, left, right)):
            mutated = True
        if len(right) < len(left):
            right.append(left[-1])
        level = [sha256(sha256(a + b).digest()).digest() for a, b in zip(left, right, strict=True)]
    return level[0], mutated
