"""`tracker inspect ethereum`, the program itself, against the answers files of recorded blocks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.data import shared_data
from tests.ethereum_records import WETH, answers, result, word

BLOCK = "eth_getBlockByNumber__test_08.json.gz"
RECEIPTS = "eth_getBlockReceipts__test_02.json.gz"
LOGS_OF_DEPOSITS = "eth_getLogs__test_02.json.gz"
# Topics of WETH9's own two events, as its verified source has them.
WRAP = "0xe1fffcc4923d04b559f4d29a8bfc6cda04eb5b0d3c460751c2402c5c5cc9109c"
UNWRAP = "0x7fcf532c15f0a6db0bd6d0e038bea71d30d808c7d98cb3bf7268a95bf5081b65"


def rpc(name: str) -> str:
    return str(shared_data() / "ethereum" / "rpc" / name)


def inspect(folder: Path, watched: Iterable[str], *files: str) -> dict[str, Any]:
    """What the program prints of these files for some addresses."""
    listed = folder / "watched.txt"
    listed.write_text("\n".join(sorted(watched)))
    done = subprocess.run(
        [sys.executable, "-m", "tracker.cli.main", "inspect", "ethereum", "--json",
         "--watch-file", str(listed), *files],
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def of_kind(found: dict[str, Any], *kinds: str) -> list[dict[str, Any]]:
    return [move for move in found["movements"] if move["kind"] in kinds]


def log_of(move: dict[str, Any]) -> int:
    return int(move["ref"].removeprefix("log:"))


def test_transfers_withdrawals_and_fees_are_the_answers_and_wrapping_is_shown_too(
    tmp_path: Path,
) -> None:
    known = answers("eth_18000000")
    transactions = result(BLOCK)["transactions"]
    logs = [log for receipt in result(RECEIPTS) for log in receipt["logs"]]
    wraps = {
        (int(log["logIndex"], 16), log["topics"][1], int(log["data"], 16))
        for log in logs
        if log["address"] == WETH and log["topics"][0] in (WRAP, UNWRAP)
    }
    watched = {row[side] for row in known["erc20_transfers"] for side in ("frm", "to")}
    watched |= {row["address"] for row in known["withdrawals"]}
    watched |= {tx["from"] for tx in transactions} | {f"0x{who[26:]}" for _, who, _ in wraps}
    found = inspect(tmp_path, watched, "--block", rpc(BLOCK), "--receipts", rpc(RECEIPTS))

    told = {
        (move["asset"], log_of(move), move["tx"], move["counterparty"].lower(),
         move["address"].lower(), move["amount"])
        for move in of_kind(found, "erc20_transfer")
        if move["asset"] in known["erc20_transfer_counts"] and not move["amount"].startswith("-")
    }  # fmt: skip
    rows = known["erc20_transfers"]
    expected = {(r["token"], r["log_index"], r["tx"], r["frm"], r["to"], r["raw"]) for r in rows}
    # Of a transfer of nothing both sides are listed with 0.
    nothing = {(*r[:3], r[4], r[3], "0") for r in expected if r[5] == "0"}
    assert told - nothing == expected - nothing
    assert {row for row in expected if row[5] == "0"} <= told

    assert [
        (move["ref"], move["address"].lower(), int(move["amount"]))
        for move in of_kind(found, "withdrawal")
    ] == [
        (f"withdrawal:{row['index']}", row["address"], row["gwei"] * 10**9)
        for row in known["withdrawals"]
    ]
    fees = of_kind(found, "fee")
    assert [move["tx"] for move in fees] == [tx["hash"] for tx in transactions]
    assert -sum(int(move["amount"]) for move in fees) == int(known["total_fees_wei"])

    shown = of_kind(found, "wrap", "unwrap")
    assert {
        (log_of(move), word(move["address"].lower()), abs(int(move["amount"]))) for move in shown
    } == wraps
    assert {move["kind"] for move in shown} == {"wrap", "unwrap"}
    assert not {log_of(move) for move in shown} & {row["log_index"] for row in rows}


def test_every_deposit_to_the_beacon_chain_is_the_answers(tmp_path: Path) -> None:
    rows = answers("deposit_contract_17502386_17502387")["deposits"]
    named = {
        f"0x{row['withdrawal_credentials'][24:]}"
        for row in rows
        if row["withdrawal_credentials"].startswith("01")
    }
    told = set()
    for height in sorted({row["block"] for row in rows}):
        found = inspect(
            tmp_path, named, "--receipts", rpc(LOGS_OF_DEPOSITS), "--height", str(height)
        )
        deposits = of_kind(found, "stake_deposit") + found.get("deposits_without_address", [])
        told |= {
            (height, move["tx"], log_of(move), int(move["amount"]) // 10**9) for move in deposits
        }
    assert told == {(r["block"], r["tx"], r["log_index"], r["amount_gwei"]) for r in rows}
    assert len(told) == 184
