"""The blocks of a folder as a tree: heights, work, the best chain."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tracker.chains.bitcoin.block import claimed_height
from tracker.chains.bitcoin.header import parse_header
from tracker.chains.bitcoin.network import NETWORKS
from tracker.chains.bitcoin.pow import CHECKPOINTS, work_of
from tracker.errors import InvalidBlockError

# Header 80, count up to 9, version 4, marker 2, input count 1, outpoint 36, script length 1 and
# the height's push: well within this, also for the longest coinbase script (100 bytes).
HEAD_BYTES = 300
_KNOWN_HEIGHTS = {bytes.fromhex(point.hash): point.height for point in CHECKPOINTS} | {
    bytes.fromhex(genesis): 0 for network in NETWORKS.values() for genesis in network.genesis
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One block of the folder. `order` says how early it was seen; `height` None is unknown."""

    path: Path
    hash: bytes
    parent: bytes
    work: int
    height: int | None
    order: int


def read_entry(path: Path, order: int) -> Entry:
    """Read the head of the block in `path`.

    Raises `InvalidBlockError` where it is no block's, and `OSError`.
    """
    try:
        head = read_bytes(path, HEAD_BYTES)
        header = parse_header(head)
        height = _KNOWN_HEIGHTS.get(header.hash)
        if height is None:
            height = claimed_height(head, header.version)
    except (IndexError, ValueError, EOFError, zlib.error) as error:
        raise InvalidBlockError(
            f"not a raw block ({type(error).__name__})", field="file", value=path.name,
            mend="put one whole block in each file, as bytes or as hex",
        ) from None
    work = work_of(header.bits)
    if not work:
        raise InvalidBlockError(
            "not a raw block (no target)", field="file", value=path.name,
            mend="put one whole block in each file, as bytes or as hex",
        )
    return Entry(path, header.hash, header.parent, work, height, order)


def read_bytes(path: Path, limit: int) -> bytes:
    """At most `limit` bytes of the block in `path`, ungzipped and out of hex.

    Raises `OSError`, `EOFError` or `zlib.error` (cut or damaged gzip) and `ValueError` (not hex).
    """
    names = path.name.lower()
    wanted = limit
    is_hex = names.removesuffix(".gz").endswith(".hex")
    if is_hex:
        wanted = 2 * limit
    if names.endswith(".gz"):
        with gzip.open(path, "rb") as packed:
            data = packed.read(wanted)
    else:
        with path.open("rb") as plain:
            data = plain.read(wanted)
    if is_hex:
        text = data.decode("ascii").strip()
        return bytes.fromhex(text)
    return data


@dataclass(frozen=True, slots=True)
class BestChain:
    """The heights of the folder's best chain, and its tip; `tip` None for an empty folder."""

    hashes: Mapping[int, bytes]
    tip: tuple[int, bytes] | None


def best_chain(entries: Iterable[Entry]) -> BestChain:
    """Choose the best chain among `entries`.

    Blocks that link form a tree. Trees are ordered by their greatest height; within a tree the
    branch of most work wins, of equal ones the one seen first (as a node would). Lower trees fill
    the heights below, so that a folder of single blocks still answers for each of them.
    """
    blocks = {entry.hash: entry for entry in entries}
    heights = _heights(blocks)
    work = _work(blocks)
    root_of = _roots(blocks)
    parents = {entry.parent for entry in blocks.values()}
    leaves = [hash_ for hash_ in blocks if hash_ not in parents and hash_ in heights]
    summit: dict[bytes, int] = {}
    for leaf in leaves:
        root = root_of[leaf]
        summit[root] = max(summit.get(root, -1), heights[leaf])
    best: dict[bytes, bytes] = {}
    for leaf in leaves:
        root = root_of[leaf]
        rival = best.get(root)
        if rival is None or (work[leaf], -blocks[leaf].order) > (work[rival], -blocks[rival].order):
            best[root] = leaf
    chosen: dict[int, bytes] = {}
    tip: tuple[int, bytes] | None = None
    for root in sorted(best, key=lambda item: (summit[item], -blocks[item].order), reverse=True):
        leaf = best[root]
        if tip is None:
            tip = (heights[leaf], leaf)
        at: bytes = leaf
        while at in blocks:
            chosen.setdefault(heights[at], at)
            at = blocks[at].parent
    return BestChain(chosen, tip)


def _upwards(blocks: Mapping[bytes, Entry]) -> list[bytes]:
    """All hashes, each after its parent where the folder has that one."""
    children: dict[bytes, list[bytes]] = {}
    for entry in blocks.values():
        children.setdefault(entry.parent, []).append(entry.hash)
    ordered = [entry.hash for entry in blocks.values() if entry.parent not in blocks]
    for at in ordered:  # grows while it is walked
        ordered.extend(children.get(at, ()))
    return ordered


def _heights(blocks: Mapping[bytes, Entry]) -> dict[bytes, int]:
    """Heights by the coinbase's claim or a known hash, else by links, down and then up."""
    known = {entry.hash: entry.height for entry in blocks.values() if entry.height is not None}
    ordered = _upwards(blocks)
    for at in reversed(ordered):
        parent = blocks[at].parent
        if at in known and parent in blocks and parent not in known and known[at] > 0:
            known[parent] = known[at] - 1
    for at in ordered:
        parent = blocks[at].parent
        if at not in known and parent in known:
            known[at] = known[parent] + 1
    return known


def _work(blocks: Mapping[bytes, Entry]) -> dict[bytes, int]:
    total: dict[bytes, int] = {}
    for at in _upwards(blocks):
        total[at] = blocks[at].work + total.get(blocks[at].parent, 0)
    return total


def _roots(blocks: Mapping[bytes, Entry]) -> dict[bytes, bytes]:
    roots: dict[bytes, bytes] = {}
    for at in _upwards(blocks):
        roots[at] = roots.get(blocks[at].parent, at)
    return roots
