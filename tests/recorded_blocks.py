"""The recorded real blocks, read once a process."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import Any

from tests.data import shared_data


def blocks_file(name: str) -> bytes:
    """A file of the recorded blocks, ungzipped."""
    path = shared_data() / "bitcoin" / "blocks" / name
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


@cache
def raw_block(height: int) -> bytes:
    """The bytes of mainnet block 300025, 482683, 866342 or 951658."""
    if height == 951658:
        recorded = json.loads(blocks_file("mainnet_951658.getblock_v1_plus_hex.json.gz"))
        return bytes.fromhex(recorded["block"])
    return blocks_file(f"mainnet_{height}.raw" + ("" if height == 482683 else ".gz"))


@cache
def answers(height: int) -> dict[str, Any]:
    """What is known of that block: hashes, txids, sums an address."""
    suffix = "" if height == 482683 else ".gz"
    found: dict[str, Any] = json.loads(blocks_file(f"mainnet_{height}.answers.json{suffix}"))
    return found


@cache
def first_blocks() -> tuple[bytes, ...]:
    """Mainnet blocks 0 to 175."""
    text = blocks_file("mainnet_first_blocks.txt").decode("ascii")
    return tuple(bytes.fromhex(line) for line in text.split())
