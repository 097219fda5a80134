"""The Merkle-Patricia root of an ordered list, and the bloom filter of logs.

Sources: Yellow Paper 4.3.1 and appendix D, https://ethereum.github.io/yellowpaper/paper.pdf .
A list's trie maps the RLP of each index to the item's bytes; so blocks commit to transactions,
receipts and withdrawals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from eth_hash.auto import keccak

from tracker.chains.ethereum import rlp

BLOOM_BYTES = 256

_Leaf = tuple[bytes, bytes]  # nibbles of the key, value


def ordered_root(values: Sequence[bytes]) -> bytes:
    """The root hash of the trie that maps the RLP of 0, 1, 2… to `values`."""
    leaves = sorted((_nibbles(rlp.integer(index)), value) for index, value in enumerate(values))
    return keccak(_node(leaves, 0) if leaves else rlp.text(b""))


def logs_bloom(logs: Iterable[tuple[bytes, Sequence[bytes]]]) -> bytes:
    """The 2048-bit filter of `(address, topics)` pairs."""
    seen: set[bytes] = set()
    for address, topics in logs:
        seen.add(address)
        seen.update(topics)
    bits = 0
    for entry in seen:
        bits |= _bloom_bits(entry)
    return bits.to_bytes(BLOOM_BYTES)


@lru_cache(maxsize=16_384)  # the same tokens and event names fill every block
def _bloom_bits(entry: bytes) -> int:
    digest = keccak(entry)
    bits = 0
    for start in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[start : start + 2]) & 2047)
    return bits


def _node(leaves: Sequence[_Leaf], depth: int) -> bytes:
    """The RLP of the node that holds `leaves`, sorted and alike in their first `depth` nibbles."""
    first, last = leaves[0][0], leaves[-1][0]
    if len(leaves) == 1:
        return rlp.items((rlp.text(_path(first[depth:], leaf=True)), rlp.text(leaves[0][1])))
    shared = depth
    while first[shared] == last[shared]:
        shared += 1
    branch = _branch(leaves, shared)
    if shared == depth:
        return branch
    return rlp.items((rlp.text(_path(first[depth:shared], leaf=False)), _reference(branch)))


def _branch(leaves: Sequence[_Leaf], depth: int) -> bytes:
    """A branch at `depth`. No key is the prefix of another, since an RLP says its own length."""
    slots = [b"\x80"] * 17
    start = 0
    for end in range(1, len(leaves) + 1):
        if end == len(leaves) or leaves[end][0][depth] != leaves[start][0][depth]:
            child = _node(leaves[start:end], depth + 1)
            slots[leaves[start][0][depth]] = _reference(child)
            start = end
    return rlp.items(slots)


def _reference(node: bytes) -> bytes:
    """How a node stands in its parent: whole where it is short, else as its hash."""
    return node if len(node) < 32 else rlp.text(keccak(node))


def _nibbles(key: bytes) -> bytes:
    return bytes(nibble for byte in key for nibble in (byte >> 4, byte & 15))


def _path(nibbles: bytes, *, leaf: bool) -> bytes:
    """Nibbles as bytes, with the flag that tells leaf from extension and odd from even."""
    flag = (2 if leaf else 0) + len(nibbles) % 2
    padded = bytes((flag,)) + nibbles if len(nibbles) % 2 else bytes((flag, 0)) + nibbles
    return bytes(padded[at] << 4 | padded[at + 1] for at in range(0, len(padded), 2))
