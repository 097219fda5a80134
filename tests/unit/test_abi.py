"""The shipped ABIs say what mainnet's logs say."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

from tests.data import shared_data
from tracker import resources


def _abi(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((resources.folder("abi") / name).read_text())
    return found


def _type(item: dict[str, Any]) -> str:
    if item["type"].startswith("tuple"):
        inner = ",".join(_type(part) for part in item["components"])
        return f"({inner}){item['type'].removeprefix('tuple')}"
    return str(item["type"])


def _hash(item: dict[str, Any]) -> str:
    signature = f"{item['name']}({','.join(_type(part) for part in item['inputs'])})"
    return "0x" + keccak(signature.encode()).hex()


def _logs(file: Path) -> list[dict[str, Any]]:
    raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    recorded = json.loads(raw)[0]
    result: list[dict[str, Any]] = recorded["response"]["result"]
    return result


def _event(abi: str, name: str) -> dict[str, Any]:
    return next(i for i in _abi(abi) if i["type"] == "event" and i["name"] == name)


def test_events_are_those_of_recorded_logs() -> None:
    folder = shared_data() / "ethereum/rpc"
    deposits = {log["topics"][0] for log in _logs(folder / "eth_getLogs__test_02.json.gz")}
    assert deposits == {_hash(_event("deposit_contract.json", "DepositEvent"))}
    block = _logs(folder / "erigon_getLatestLogs__test_02.json.gz")
    weth = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
    topics = {log["topics"][0] for log in block if log["address"].lower() == weth}
    for abi, name in (
        ("erc20.json", "Transfer"),
        ("weth.json", "Deposit"),
        ("weth.json", "Withdrawal"),
    ):
        assert _hash(_event(abi, name)) in topics


def test_indexed_parameters_are_those_of_recorded_logs() -> None:
    folder = shared_data() / "ethereum/rpc"
    transfer = _event("erc20.json", "Transfer")
    seen = [
        log
        for log in _logs(folder / "erigon_getLatestLogs__test_02.json.gz")
        if log["topics"][0] == _hash(transfer) and len(log["data"]) == 66
    ]
    assert seen
    indexed = sum(part["indexed"] for part in transfer["inputs"])
    assert all(len(log["topics"]) == 1 + indexed for log in seen)


def test_selectors_are_the_well_known_ones() -> None:
    known = {"balanceOf": "0x70a08231", "decimals": "0x313ce567", "aggregate3": "0x82ad56cb"}
    found = {
        item["name"]: _hash(item)[:10]
        for name in ("erc20.json", "multicall3.json")
        for item in _abi(name)
    }
    assert {name: found[name] for name in known} == known
