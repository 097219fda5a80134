"""Ethereum: the block match and the range read beside web3.py, ethereum-etl and polling.

`python -m tests.bench.ethereum [BLOCKS]`. One real node (anvil) on loopback with blocks of 200
transactions and 500 Transfer logs; every way reads the same blocks from it in one run. Ratios come
first. ethereum-etl pins an old web3, so it is installed into an environment of its own, outside the
project's; where that cannot be had its rows say so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import requests

from tests.anvil import MULTICALL3, Anvil, run
from tracker.chains.ethereum.assets import AssetTable, Token
from tracker.chains.ethereum.movements import effective, movements
from tracker.chains.ethereum.records import Block, BlockRecords, Receipt
from tracker.chains.ethereum.sources import open_source
from tracker.config import Settings

TXS, MINTS, EACH = 200, 125, 4  # 125 transactions with 4 logs each, 75 plain payments
PAID = "0x" + "77" * 20  # the one watched address of each block
SMALL, LARGE = 1_000, 1_000_000
BUDGET_MATCH_MS, BUDGET_WEB3, BUDGET_RATE = 1.0, 150, 0.9
POLLED = (10, 1_000)
POLL_EXTRAPOLATED = 100_000


def fill(node: Anvil, blocks: int) -> tuple[Any, int]:
    """Mine the blocks; returns the token and the first height."""
    node.place_canonical()
    token = node.deploy("Token", "TOK", 18, 0)
    multicall = node.at("Multicall", MULTICALL3)
    people = [f"0x{number:040x}" for number in range(0x10_0000, 0x10_0000 + EACH)]
    calls = [bytes.fromhex(token.data("mint", person, 7)[2:]) for person in people]
    data = multicall.data("aggregate3", [(token.address, True, call) for call in calls])
    first = node.height + 1
    for _ in range(blocks):
        with node.one_block():
            for number in range(TXS):
                sender = node.accounts[number % 5]
                if number < MINTS:
                    node.send(sender, MULTICALL3, 0, data, gas=300_000)
                else:
                    payee = people[number % EACH] if number < TXS - 1 else PAID
                    node.send(sender, payee, 1, gas=21_000)
    return token, first


def watched(count: int) -> set[bytes]:
    """`count` addresses, one of which is paid in every block."""
    found = {number.to_bytes(20, "big") for number in range(1, count)}
    return found | {bytes.fromhex(PAID[2:])}


def best(turn: Callable[[], object], turns: int) -> float:
    """The least of several turns, in seconds."""
    found = []
    for _ in range(turns):
        started = time.perf_counter()
        turn()
        found.append(time.perf_counter() - started)
    return min(found)


def raw(url: str, method: str, *params: object) -> bytes:
    """The bytes of one answer."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return _session.post(url, json=body, timeout=60).content


_session = requests.Session()
_session.trust_env = False


class _Reply(msgspec.Struct):
    result: msgspec.Raw


def match_one(node: Anvil, token: Any, height: int) -> None:
    """After the bytes arrived: decode and match against web3's formatted way."""
    from web3 import Web3

    name = hex(height)
    block_bytes = raw(node.url, "eth_getBlockByNumber", name, True)
    receipt_bytes = raw(node.url, "eth_getBlockReceipts", name)
    assets = AssetTable([Token("USDC", bytes.fromhex(token.address[2:]))])

    def decoded() -> BlockRecords:
        reply = msgspec.json.decode(block_bytes, type=_Reply)
        block = msgspec.json.decode(reply.result, type=Block)
        receipts = msgspec.json.decode(
            msgspec.json.decode(receipt_bytes, type=_Reply).result, type=list[Receipt]
        )
        return BlockRecords(block=block, receipts=receipts)

    records = decoded()
    logs = sum(len(receipt.logs) for receipt in records.receipts or ())
    print(f"block {height}: {len(records.block.transactions)} transactions, {logs} logs, "
          f"{(len(block_bytes) + len(receipt_bytes)) / 1e6:.2f} MB")  # fmt: skip
    w3 = Web3(Web3.HTTPProvider(node.url))
    contract = w3.eth.contract(
        Web3.to_checksum_address(token.address),
        abi=[
            {
                "type": "event", "name": "Transfer", "anonymous": False,
                "inputs": [
                    {"name": "from", "type": "address", "indexed": True},
                    {"name": "to", "type": "address", "indexed": True},
                    {"name": "value", "type": "uint256", "indexed": False},
                ],
            }
        ],
    )  # fmt: skip
    wire = best(lambda: raw(node.url, "eth_getBlockByNumber", name, True), 5) + best(
        lambda: raw(node.url, "eth_getBlockReceipts", name), 5
    )

    def formatted() -> None:
        block = w3.eth.get_block(height, full_transactions=True)
        receipts = w3.eth.get_block_receipts(height)
        keys = {tx["to"] for tx in block["transactions"]}
        for receipt in receipts:
            for log in receipt["logs"]:
                keys.add(contract.events.Transfer().process_log(log)["args"]["to"])

    few, many = watched(SMALL), watched(LARGE)
    web3_seconds = best(formatted, 5) - wire
    at_small = best(lambda: effective(movements(records, few, assets)), 100)
    at_large = best(lambda: effective(movements(records, many, assets)), 100)
    decoding = best(decoded, 30)
    moved = len(effective(movements(records, many, assets)))
    print(f"  web3 / ours (decode and match, 1M watched): "
          f"{web3_seconds / (decoding + at_large):.0f}x   budget >= {BUDGET_WEB3}x")  # fmt: skip
    print(f"  web3 / our match alone: {web3_seconds / at_large:.0f}x")
    print(f"  match, 1M watched: {at_large * 1e3:.2f} ms ({moved} movements)   "
          f"budget <= {BUDGET_MATCH_MS} ms; 1k watched: {at_small * 1e3:.2f} ms")  # fmt: skip
    print(f"  decode: {decoding * 1e3:.2f} ms; web3 formatted, its wire time off: "
          f"{web3_seconds * 1e3:.0f} ms; wire: {wire * 1e3:.1f} ms")  # fmt: skip


def read_range(node: Anvil, token: Any, first: int, last: int) -> None:
    """The whole range: raw bytes, ours trusted and checked, web3, ethereum-etl; blocks a second."""
    from concurrent.futures import ThreadPoolExecutor

    from web3 import Web3

    count = last - first + 1
    assets = AssetTable([Token("USDC", bytes.fromhex(token.address[2:]))])
    keys = watched(LARGE)
    names = [hex(height) for height in range(first, last + 1)]

    def bytes_only() -> None:
        for name in names:
            raw(node.url, "eth_getBlockByNumber", name, True)
            raw(node.url, "eth_getBlockReceipts", name)

    def ours(checks: str) -> Callable[[], None]:
        settings = Settings(
            ethereum_chain_id=node.chain_id, ethereum_checks=checks, ethereum_traces="off"
        )
        source = open_source(node.url, settings)
        blocks = [node.block(height) for height in range(first, last + 1)]
        hashes = [bytes.fromhex(block["hash"][2:]) for block in blocks]

        def read() -> None:
            with ThreadPoolExecutor(1) as ahead:  # the backfill fetches the next block meanwhile
                following = ahead.submit(source.block, hashes[0])
                for place in range(count):
                    records = following.result()
                    if place + 1 < count:
                        following = ahead.submit(source.block, hashes[place + 1])
                    effective(movements(records, keys, assets))

        return read

    def formatted() -> None:
        w3 = Web3(Web3.HTTPProvider(node.url))
        for height in range(first, last + 1):
            w3.eth.get_block(height, full_transactions=True)
            w3.eth.get_block_receipts(height)

    limit = best(bytes_only, 3)
    rows = {
        "raw bytes (the limit)": limit,
        "ours, trusted node": best(ours("trusted"), 3),
        "ours, every hash and root checked": best(ours("full"), 2),
        "web3.py formatted": best(formatted, 1),
    }
    etl = etl_seconds(node.url, first, last)
    if isinstance(etl, float):
        rows["ethereum-etl export"] = etl
    else:
        print(f"  ethereum-etl: not run ({etl})")
    print(f"range of {count} blocks")
    for name, seconds in rows.items():
        print(f"  {limit / seconds:6.1%} of the limit   {count / seconds:7.1f} blocks/s   {name}")
    print(f"  budget: trusted >= {BUDGET_RATE:.0%} of the limit")


def etl_seconds(url: str, first: int, last: int) -> float | str:
    """Seconds of ethereum-etl for blocks, transactions, receipts, logs and token transfers."""
    uv = shutil.which("uv")
    if uv is None:
        return "uv is needed to give it an environment of its own"
    with tempfile.TemporaryDirectory(prefix="etl-") as name:
        folder = Path(name)
        made = subprocess.run(
            [uv, "venv", "-q", "--python", sys.executable, str(folder / "venv")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        # Its parser library needs a newer release than it pins to run on this Python at all.
        override = folder / "override.txt"
        override.write_text("parsimonious==0.10.0\n")
        installed = subprocess.run(
            [uv, "pip", "install", "-q", "--override", str(override), "ethereum-etl",
             "setuptools<81"],
            capture_output=True, text=True, check=False,
            env={**os.environ, "VIRTUAL_ENV": str(folder / "venv")},
        )  # fmt: skip
        if made.returncode or installed.returncode:
            return "it could not be installed"
        program = str(folder / "venv" / "bin" / "ethereumetl")
        common = ["-p", url, "-w", "2"]
        span = ["-s", str(first), "-e", str(last)]

        def step(*arguments: str) -> str | None:
            done = subprocess.run(
                [program, *arguments], cwd=folder, capture_output=True, text=True, check=False
            )
            lines = done.stderr.strip().splitlines()
            return None if done.returncode == 0 else (lines[-1] if lines else "it failed")

        started = time.perf_counter()
        failed = step(
            "export_blocks_and_transactions", *span, *common,
            "--blocks-output", "b.csv", "--transactions-output", "t.csv",
        )  # fmt: skip
        if failed is None:
            with (folder / "t.csv").open() as table, (folder / "h.txt").open("w") as hashes:
                next(table)
                hashes.writelines(f"{line.split(',', 1)[0]}\n" for line in table)
            failed = step(
                "export_receipts_and_logs", "--transaction-hashes", "h.txt", *common,
                "--receipts-output", "r.csv", "--logs-output", "l.csv",
            )  # fmt: skip
        if failed is None:
            failed = step("extract_token_transfers", "-l", "l.csv", "-o", "x.csv", "-w", "2")
        return time.perf_counter() - started if failed is None else failed[:200]


def polling(node: Anvil, height: int) -> None:
    """One block's news by asking each address, beside reading the block."""
    name = hex(height)
    sizes = [
        len(raw(node.url, "eth_getBlockByNumber", name, True)),
        len(raw(node.url, "eth_getBlockReceipts", name)),
    ]
    block_seconds = best(
        lambda: (
            raw(node.url, "eth_getBlockByNumber", name, True),
            raw(node.url, "eth_getBlockReceipts", name),
        ),
        5,
    )
    print("one block's news, in calls, bytes and seconds")
    print(f"  block scan, any number of addresses: 2 calls, {sum(sizes):,} bytes, "
          f"{block_seconds:.3f} s")  # fmt: skip
    a_call = 0.0
    size = 0
    for count in POLLED:
        addresses = [f"0x{number:040x}" for number in range(1, count + 1)]
        started = time.perf_counter()
        size = sum(len(raw(node.url, "eth_getBalance", each, name)) for each in addresses)
        seconds = time.perf_counter() - started
        a_call = seconds / count
        print(f"  eth_getBalance, {count:,} addresses: {count:,} calls, {size:,} bytes, "
              f"{seconds:.3f} s, {seconds / block_seconds:.1f}x the block")  # fmt: skip
    whole = a_call * POLL_EXTRAPOLATED
    print(f"  eth_getBalance, {POLL_EXTRAPOLATED:,} addresses (from {POLLED[-1]:,}): "
          f"{POLL_EXTRAPOLATED:,} calls, {size // POLLED[-1] * POLL_EXTRAPOLATED:,} bytes, "
          f"{whole:.0f} s, {whole / block_seconds:.0f}x the block, and no transaction")  # fmt: skip


def main() -> None:
    """Run everything on one node."""
    blocks = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    with run() as node:
        node.rpc("anvil_autoImpersonateAccount", False)  # unsigned senders do not verify
        token, first = fill(node, blocks)
        last = first + blocks - 1
        match_one(node, token, last)
        read_range(node, token, first, last)
        polling(node, last)


if __name__ == "__main__":
    main()
