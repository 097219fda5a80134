"""The block scan beside other ways to do the same, on real block 866342.

`python -m tests.bench.scan` prints ratios first, then milliseconds, then the budget's row. Each way
parses the block and looks up every output script and every spent outpoint. Times are the least of
many turns taken in rotation, because the machine may have other work.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import time
from collections.abc import Callable
from decimal import Decimal

from bitcoin.core import CBlock

from tests.data import shared_data
from tests.recorded_blocks import raw_block
from tracker.chains.bitcoin.block import read_block, scan

HEIGHT = 866342
SMALL, LARGE = 1_000, 1_000_000
TURNS, SLOW_TURNS = 150, 5
BUDGET_SCAN_MS, BUDGET_VERIFY_MS, BUDGET_RATIO = 8.0, 18.0, 1.2

Way = Callable[[], object]


def watched(count: int) -> tuple[set[bytes], set[bytes]]:
    """`count` scripts, half P2WPKH and half P2TR, and `count` outpoints, the same each run."""
    scripts, outpoints = set[bytes](), set[bytes]()
    for number in range(count):
        seed = hashlib.sha256(number.to_bytes(8, "little")).digest()
        scripts.add(b"\x00\x14" + seed[:20] if number % 2 else b"\x51\x20" + seed)
        outpoints.add(seed + (number % 4).to_bytes(4, "little"))
    return scripts, outpoints


def verbose_json(raw: bytes) -> bytes:
    """The block as JSON of a node's verbosity 2: what is needed of it, and the hex as filler."""
    whole = CBlock.stream_deserialize(io.BytesIO(raw))
    block = {
        "tx": [
            {
                "txid": tx.GetTxid()[::-1].hex(),
                "vin": [
                    {
                        "txid": txin.prevout.hash[::-1].hex(), "vout": txin.prevout.n,
                        "scriptSig": {"asm": "", "hex": bytes(txin.scriptSig).hex()},
                        "sequence": txin.nSequence,
                    }
                    for txin in tx.vin
                ],
                "vout": [
                    {
                        "value": out.nValue / 100_000_000, "n": index,
                        "scriptPubKey": {"asm": "", "hex": bytes(out.scriptPubKey).hex()},
                    }
                    for index, out in enumerate(tx.vout)
                ],
                "hex": tx.serialize().hex(),
            }
            for tx in whole.vtx
        ]
    }
    return json.dumps(block).encode()


def by_library(raw: bytes, scripts: set[bytes], outpoints: set[bytes]) -> int:
    """The hits by python-bitcoinlib."""
    hits = 0
    for tx in CBlock.stream_deserialize(io.BytesIO(raw)).vtx:
        for txin in tx.vin:
            hits += txin.prevout.hash + txin.prevout.n.to_bytes(4, "little") in outpoints
        for out in tx.vout:
            hits += bytes(out.scriptPubKey) in scripts
    return hits


def by_json(text: bytes, scripts: set[str], outpoints: set[tuple[str, int]]) -> int:
    """The hits from a node's JSON, amounts read exactly."""
    hits = 0
    for tx in json.loads(text, parse_float=Decimal)["tx"]:
        for txin in tx["vin"]:
            hits += (txin["txid"], txin["vout"]) in outpoints
        for out in tx["vout"]:
            hits += out["scriptPubKey"]["hex"] in scripts
    return hits


def least_ms(ways: dict[str, Way], turns: int) -> dict[str, float]:
    """The least time of each way in milliseconds; the ways take turns."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(turns):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            best[name] = min(best[name], (time.perf_counter() - started) * 1000)
    return best


def main() -> int:
    """Print the comparison; the status is 0 whatever it says: budgets are shown, not enforced."""
    shared_data()
    raw = raw_block(HEIGHT)
    text = verbose_json(raw)
    few_scripts, few_outpoints = watched(SMALL)
    texts = {script.hex() for script in few_scripts}
    pairs = {
        (outpoint[:32][::-1].hex(), int.from_bytes(outpoint[32:], "little"))
        for outpoint in few_outpoints
    }
    # Before the large sets are there: the many objects of these ways make the garbage collector
    # run, which would then walk those sets too.
    ms = least_ms(
        {
            "library": lambda: by_library(raw, few_scripts, few_outpoints),
            "json": lambda: by_json(text, texts, pairs),
            "everything": lambda: read_block(raw),
        },
        SLOW_TURNS,
    )
    scripts, outpoints = watched(LARGE)
    ms |= least_ms(
        {
            "small": lambda: scan(raw, few_scripts, few_outpoints),
            "large": lambda: scan(raw, scripts, outpoints),
            "verified": lambda: scan(raw, scripts, outpoints, verify=True),
        },
        TURNS,
    )
    ratio = ms["large"] / ms["small"]
    print(f"real block {HEIGHT}: {len(raw):,} bytes raw, {len(text):,} bytes as JSON")
    print(f"{ms['library'] / ms['small']:5.1f} x faster than python-bitcoinlib")
    print(f"{ms['json'] / ms['small']:5.1f} x faster than parsing the node's JSON")
    print(f"{ratio:5.2f} x the time for {LARGE:,} + {LARGE:,} watched as for {SMALL:,} + {SMALL:,}")
    for name, label in (
        ("small", f"scan, {SMALL:,} scripts and outpoints"),
        ("large", f"scan, {LARGE:,} scripts and outpoints"),
        ("verified", "the same, with all txids and the merkle root"),
        ("everything", "every transaction taken apart and verified (tools only)"),
        ("library", f"python-bitcoinlib, {SMALL:,}"),
        ("json", f"JSON of verbosity 2, {SMALL:,}"),
    ):
        print(f"{ms[name]:9.1f} ms  {label}")
    print(
        f"| scan a real Bitcoin block | scan {ms['large']:.1f} ms (<= {BUDGET_SCAN_MS:g}), "
        f"verified {ms['verified']:.1f} ms (<= {BUDGET_VERIFY_MS:g}), "
        f"1M / 1k {ratio:.2f} (<= {BUDGET_RATIO:g}) |"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
