"""The contracts that tests put on a node: compiled of their sources, and like those of mainnet."""

from __future__ import annotations

import gzip
import json
import os
from typing import Any

import pytest
from eth_abi import decode, encode

from tests import solidity
from tests.data import shared_data
from tests.solidity import artifact, selector
from tracker import resources


def _recorded(name: str) -> list[dict[str, Any]]:
    path = shared_data() / "ethereum" / name
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_the_compiled_file_is_of_the_sources_that_are_here() -> None:
    stated = json.loads(solidity.COMPILED.read_text())["sources_sha256"]
    assert stated == solidity.sources_sha256(), "run: .venv/bin/python -m tests.solidity"


def test_compiling_again_gives_the_same_code() -> None:
    solc = solidity.solc_script()
    if solc is None:
        reason = "solc is not installed (.venv/bin/python deploy/get-anvil)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    assert solidity.as_text(solidity.compile_all(solc)) == solidity.COMPILED.read_text()


def test_recorded_deposits_are_read_by_the_interface_of_the_stand_in() -> None:
    path = shared_data() / "ethereum/rpc/eth_getLogs__test_02.json.gz"
    logs = json.loads(gzip.decompress(path.read_bytes()))[0]["response"]["result"]
    deposit = artifact("DepositContract")
    assert logs
    for log in logs:
        assert log["topics"] == [deposit.topic("DepositEvent")]
        told = decode(["bytes"] * 5, bytes.fromhex(log["data"][2:]))
        assert [len(part) for part in told] == [48, 32, 8, 96, 8]
        assert encode(["bytes"] * 5, told).hex() == log["data"][2:]


@pytest.mark.parametrize(("contract", "event"), [
    ("Weth", "Deposit"), ("Weth", "Withdrawal"), ("Token", "Transfer"),
    ("Safe", "ExecutionSuccess"), ("Safe", "SafeReceived"),
])
def test_events_have_the_topics_of_recorded_logs(contract: str, event: str) -> None:
    logs = _recorded("ethereum_etl/17173049_17173050_logs.jsonl.gz")
    topic = artifact(contract).topic(event)
    assert any(topic in log["topics"][:1] for log in logs)


def test_a_recorded_payout_of_a_safe_is_a_call_of_ours() -> None:
    entry = artifact("Safe").function("execTransaction")
    recorded = [
        bytes.fromhex(tx["input"][2:])
        for tx in _recorded("ethereum_etl/17173049_17173050_transactions.jsonl.gz")
        if tx["input"].startswith("0x" + selector(entry).hex())
    ]
    assert recorded
    for data in recorded:
        told = decode([one["type"] for one in entry["inputs"]], data[4:])
        assert len(told) == 10
        assert len(told[9]) % 65 == 0


@pytest.mark.parametrize(("file", "contract"), [
    ("multicall3.json", "Multicall"), ("weth.json", "Weth"),
    ("deposit_contract.json", "DepositContract"), ("erc20.json", "Token"), ("erc20.json", "Weth"),
])
def test_stand_ins_have_all_that_the_shipped_interfaces_name(file: str, contract: str) -> None:
    shipped = json.loads((resources.folder("abi") / file).read_text())
    ours = {(e["type"], solidity.signature(e)) for e in artifact(contract).abi if "name" in e}
    named = {(e["type"], solidity.signature(e)) for e in shipped}
    assert named <= ours
