"""The shipped ABIs say what mainnet's logs say."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from tests.data import shared_data
from tracker import resources
from tracker.chains.ethereum import deposits, logs


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


def test_the_topics_that_are_matched_are_those_of_the_events() -> None:
    assert _hash(_event("erc20.json", "Transfer")) == logs.TRANSFER
    assert _hash(_event("weth.json", "Deposit")) == logs.WRAP
    assert _hash(_event("weth.json", "Withdrawal")) == logs.UNWRAP
    assert _hash(_event("deposit_contract.json", "DepositEvent")) == deposits.DEPOSIT_EVENT


@pytest.mark.parametrize(("abi", "known"), [
    ("erc20.json", {"balanceOf": "0x70a08231", "decimals": "0x313ce567"}),
    ("multicall3.json", {"aggregate3": "0x82ad56cb"}),
    ("steth.json", {"sharesOf": "0xf5eb42dc", "getPooledEthByShares": "0x7a28fb88"}),
    ("wsteth.json", {"stEthPerToken": "0x035faf82"}),
    ("reth.json", {"getExchangeRate": "0xe6aa216c"}),
    ("cbeth.json", {"exchangeRate": "0x3ba0b9a9"}),
    ("weeth.json", {"getRate": "0x679aefce"}),
    ("lseth.json", {"underlyingBalanceFromShares": "0xf79c3f02"}),
    ("meth_staking.json", {"mETHToETH": "0x5890c11c"}),
    ("aave_pool.json", {"getUserAccountData": "0xbf92857c"}),
    ("safe.json", {
        "execTransaction": "0x6a761202", "ExecutionSuccess": "0x442e715f",
        "ExecutionFailure": "0x23428b18",
    }),
])
def test_selectors_are_the_well_known_ones(abi: str, known: dict[str, str]) -> None:
    found = {item["name"]: _hash(item)[:10] for item in _abi(abi)}
    assert {name: found[name] for name in known} == known


def test_every_abi_has_its_source() -> None:
    folder = resources.folder("abi")
    sources = (folder / "SOURCES.md").read_text()
    listed = set(re.findall(r"^\| `([a-z0-9_]+\.json)` \|", sources, re.MULTILINE))
    assert listed == {path.name for path in folder.glob("*.json")}
