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
        if any(map(bytes.__eq__, level[::2], level[1::2])):
            mutated = True
        if len(level) % 2:
            level.append(level[-1])
        nodes = iter(level)
        level = [
            sha256(sha256(left + right).digest()).digest()
            for left, right in zip(nodes, nodes, strict=True)
        ]
    return level[0], mutated
