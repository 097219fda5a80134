"""What a source answered, checked before it is used: hashes, heights, whole blocks.

A source is believed in nothing that can be computed here. What it can still do is withhold.
"""

from __future__ import annotations

import re

from tracker.chains.bitcoin.block import MAX_BLOCK_BYTES, BlockScan
from tracker.chains.bitcoin.header import parse_header
from tracker.chains.bitcoin.pow import Ancestor, check_header
from tracker.domain.chain import BlockRef
from tracker.errors import InvalidBlockError, ReplyError

_HASH = re.compile(r"[0-9a-fA-F]{64}\Z")
# Some 190,000 years of blocks: anything above is garbage.
_MAX_HEIGHT = 10_000_000_000


def hash_reply(value: object, source: str, what: str) -> bytes:
    """The 32-byte hash in `value`, hex in display order; raises `ReplyError` for anything else."""
    if isinstance(value, str) and _HASH.match(value.strip()):
        return bytes.fromhex(value.strip())
    raise ReplyError(
        f"{source} answered without a block hash", field=what, value=value,
        mend="check that the source's URL leads to the API itself, not to a web page",
    )


def height_reply(value: object, source: str, what: str) -> int:
    """The height in `value`, a number or its text; raises `ReplyError` for anything else."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value.strip()[:20])
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_HEIGHT:
        return value
    raise ReplyError(
        f"{source} answered without a height", field=what, value=value,
        mend="check that the source's URL leads to the API itself, not to a web page",
    )


def block_reply(raw: bytes, asked: bytes, source: str) -> bytes:
    """`raw`, once its header is known to hash to `asked`.

    Raises `InvalidBlockError` for another block, or one too large; `ReplyError` for a web page.
    """
    if raw[:64].lstrip()[:1] == b"<":
        raise ReplyError(
            f"{source} answered with a web page where a block was due", field="block",
            value=asked.hex(), mend="check the source's URL, and whether it limits requests",
        )
    if len(raw) > MAX_BLOCK_BYTES:
        raise InvalidBlockError(
            f"{source} sent a block larger than consensus allows", field="block",
            value=f"{len(raw)} bytes", mend="take the block from another source",
        )
    found = parse_header(raw).hash
    if found != asked:
        raise InvalidBlockError(
            f"{source} sent another block than {asked.hex()}", field="block", value=found.hex(),
            mend="take the block from another source",
        )
    return raw


def check_scan(
    found: BlockScan, *, height: int, network: str, asked: bytes | None = None,
    parent: bytes | None = None, previous: Ancestor | None = None,
    epoch_start: Ancestor | None = None,
) -> BlockRef:
    """The scanned block as a link of the chain at `height`, its place and its work checked.

    `asked` is the hash that was asked for, `parent` the hash of the block below; `previous` and
    `epoch_start` as `check_header` takes them. Give `parent` only where another one is the
    source's fault: at the tip it is a fork, which `tracker.domain.chain.links` tells first.
    Raises `InvalidBlockError`.
    """
    if asked is not None and found.header.hash != asked:
        raise InvalidBlockError(
            f"another block than {asked.hex()}", field="block", value=found.header.hash.hex(),
            mend="take the block from another source",
        )
    if parent is not None and found.header.parent != parent:
        raise InvalidBlockError(
            "the header does not link to the block below it", field=f"header at {height}",
            value=found.header.parent.hex(), mend=f"it should name {parent.hex()} as its parent",
        )
    check_header(
        found.header, height, network, previous=previous, epoch_start=epoch_start
    )
    return found.ref(height)
