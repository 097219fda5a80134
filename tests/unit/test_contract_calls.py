"""Calls coded by web3, which is loaded late and leaves the interpreter as it was."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from decimal import Decimal

import pytest
from eth_abi import encode

from tests.data import ROOT
from tests.rpc_replies import RpcServer, serve
from tracker.chains.ethereum import multicall, rates
from tracker.chains.ethereum.assets import MAINNET
from tracker.chains.ethereum.contracts import call_data, returned
from tracker.domain.asset import stands_for
from tracker.domain.units import DECIMALS
from tracker.errors import InputError, ReplyError


@pytest.fixture
def server() -> Iterator[RpcServer]:
    with serve(lambda method, params: None) as found:
        yield found


def _run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        check=False, capture_output=True, text=True, cwd=ROOT, timeout=120,
    )
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout.strip()


def test_calls_have_the_bytes_of_the_hand_coded_ones() -> None:
    calls = [(bytes([number]) * 20, bytes([number]) * size) for number, size in ((1, 4), (2, 36))]
    asked = [("0x" + target.hex(), True, data) for target, data in calls]
    assert call_data("multicall3", "aggregate3", asked) == multicall.encode(calls)


def test_what_a_call_returns_comes_as_values() -> None:
    results = [(True, b"\x01\x02"), (False, b"")]
    data = encode(["(bool,bytes)[]"], [results])
    assert returned("multicall3", "aggregate3", data) == (tuple(results),)


@pytest.mark.parametrize(("contract", "function", "arguments"), [
    ("nothing", "exchangeRate", ()),
    ("cbeth", "mint", ()),
    ("cbeth", "exchangeRate", (1,)),
    ("lseth", "underlyingBalanceFromShares", ()),
    ("lseth", "underlyingBalanceFromShares", ("one",)),
    ("lseth", "underlyingBalanceFromShares", (-1,)),
    ("lseth", "underlyingBalanceFromShares", (2**256,)),
])
def test_a_call_that_cannot_be_is_refused(
    contract: str, function: str, arguments: tuple[object, ...]
) -> None:
    with pytest.raises(InputError) as refused:
        call_data(contract, function, *arguments)
    assert refused.value.field in ("contract", "function", "arguments")
    assert refused.value.mend


@pytest.mark.parametrize("data", [b"", bytes(31)])
def test_an_answer_that_breaks_off_is_no_answer(data: bytes) -> None:
    with pytest.raises(ReplyError, match="does not return this"):
        returned("cbeth", "exchangeRate", data)


def test_every_token_that_is_not_at_par_has_one_who_tells_its_rate() -> None:
    told = {call.asset for call in rates.MAINNET}
    needed = {asset for asset in DECIMALS if not stands_for(asset).at_par}
    assert {rates.rated_as(asset) for asset in needed} == told
    assert all(stands_for(asset).coin == "ETH" for asset in needed)
    for call in rates.MAINNET:
        assert len(call_data(call.abi, call.function, *call.arguments)) in (4, 36)
        token = MAINNET.by_symbol[call.asset].address
        assert (call.contract == token) is (call.asset != "mETH")


def test_one_token_is_asked_for_in_base_units() -> None:
    wanted = {"LsETH", "mETH"}
    assert {call.asset for call in rates.MAINNET if call.arguments == (10**18,)} == wanted
    assert Decimal(rates.ONE).scaleb(-18) == 1


def test_web3_is_not_loaded_at_start() -> None:
    found = _run(
        """
        import os, sys
        os.environ["TRACKER_REDIS_URL"] = "redis://127.0.0.1:1/0"  # named, never connected to
        import tracker.api.app, tracker.bootstrap, tracker.cli.main, workers.app, workers.reconcile
        import tracker.chains.ethereum.contracts, tracker.facts.rates.tick
        import tracker.reconciliation.staking, tracker.scanning.ethereum
        print(sorted({"web3", "eth_abi", "eth_account", "py_ecc"} & set(sys.modules)))
        """
    )
    assert found == "[]"


def test_the_recursion_limit_is_as_it_was_and_endless_nesting_is_an_error(
    server: RpcServer,
) -> None:
    server.raw = (200, {}, b'{"error":' + b"[" * 100_000)
    found = _run(
        """
        import json, sys, threading
        limit = sys.getrecursionlimit()
        from tracker.chains.ethereum.contracts import call_data

        coders = [
            threading.Thread(target=call_data, args=("wsteth", "stEthPerToken")) for _ in range(4)
        ]
        for coder in coders:
            coder.start()
        for coder in coders:
            coder.join()
        assert "web3" in sys.modules
        assert sys.getrecursionlimit() == limit, sys.getrecursionlimit()

        import msgspec
        from tracker.chains.ethereum.rpc import RpcClient
        from tracker.chains.http import HttpClient
        from tracker.errors import TrackerError

        for decode in (json.loads, msgspec.json.decode):
            try:
                decode(b"[" * 100_000)
            except RecursionError:
                print("refused")
        http = HttpClient(sys.argv[1], timeout_seconds=5, user_agent="tests/1", field="URL")
        try:
            RpcClient(http).call("echo")
        except TrackerError:
            print("refused")
        """,
        server.url,
    )
    assert found.split() == ["refused"] * 3
