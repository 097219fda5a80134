"""The proxy before the Ethereum node of the tests: withdrawals that it adds, and its lies."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from tests import anvil as ethereum
from tests.anvil import ETHER, GWEI, Anvil
from tests.rpc_lies import TRACES, Lies
from tests.withdrawals import RpcProxy, proxying

ALICE = "0x" + "a1" * 20


def _post(proxy: RpcProxy, task: object) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.post(proxy.url, json=task, timeout=20)


def _ask(proxy: RpcProxy, method: str, *params: Any) -> dict[str, Any]:
    reply = _post(proxy, {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).json()
    assert (reply.pop("id"), reply.pop("jsonrpc")) == (7, "2.0")
    return dict(reply)


def _result(proxy: RpcProxy, method: str, *params: Any) -> Any:
    return _ask(proxy, method, *params)["result"]


def _height(proxy: RpcProxy) -> int:
    return int(_result(proxy, "eth_blockNumber"), 16)


def test_an_honest_proxy_answers_what_the_node_answers(anvil: Anvil) -> None:
    anvil.send(None, ALICE, 5)
    with proxying(anvil) as proxy:
        assert _result(proxy, "eth_getBlockByNumber", "0x1", True) == anvil.block(1)
        assert _result(proxy, "trace_block", "0x1") == anvil.traces(1)
        assert _ask(proxy, "no_such")["error"]["code"] == -32601
        call = {"jsonrpc": "2.0", "method": "eth_chainId", "params": []}
        answers = _post(proxy, [{**call, "id": 4}, {**call, "id": 2}]).json()
        assert [(answer["id"], answer["result"]) for answer in answers] == [(4, "0x1"), (2, "0x1")]
        assert proxy.posts == 4
        assert [method for method, _ in proxy.asked][-2:] == ["eth_chainId"] * 2


def test_a_withdrawal_is_in_its_block_and_raises_the_balance_from_there(anvil: Anvil) -> None:
    anvil.send(None, ALICE, 5)
    with proxying(anvil) as proxy:
        made = proxy.withdraw(anvil, (ALICE, 3 * GWEI, 11), (ALICE, 1, 12))
        anvil.mine(2)
        second = proxy.withdraw(anvil, (ALICE, 2, 11))
        shown = _result(proxy, "eth_getBlockByNumber", made["number"], False)
        by_hash = _result(proxy, "eth_getBlockByHash", made["hash"], True)
        later = _result(proxy, "eth_getBlockByNumber", "0x3", True)

    assert int(made["number"], 16) == 2
    assert by_hash == made
    assert shown["withdrawals"] == [
        {"index": "0x0", "validatorIndex": "0xb", "address": ALICE, "amount": hex(3 * GWEI)},
        {"index": "0x1", "validatorIndex": "0xc", "address": ALICE, "amount": "0x1"},
    ]
    assert second["withdrawals"][0]["index"] == "0x2"
    assert later["withdrawals"] == []
    paid = 3 * ETHER + GWEI
    assert [anvil.balance(ALICE, n) for n in range(6)] == [
        0, 5, 5 + paid, 5 + paid, 5 + paid, 5 + paid + 2 * GWEI
    ]


def test_a_withdrawal_can_share_its_block_with_transactions(anvil: Anvil) -> None:
    with anvil.one_block():
        anvil.send(None, ALICE, 5)
    with proxying(anvil) as proxy:
        block = proxy.withdraw(anvil, (ALICE, 1, 9), mine=False)
    assert (len(block["transactions"]), len(block["withdrawals"])) == (1, 1)
    assert anvil.balance(ALICE, 1) == 5 + GWEI


def test_a_withdrawal_goes_with_its_block_in_a_reorganisation(anvil: Anvil) -> None:
    anvil.mine()
    with proxying(anvil) as proxy:
        proxy.withdraw(anvil, (ALICE, 1, 9))
        anvil.mine()
        anvil.reorg(2)
        assert _result(proxy, "eth_getBlockByNumber", "0x2", False)["withdrawals"] == []
        assert anvil.balance(ALICE) == 0


def test_it_asks_to_slow_down_and_then_answers(anvil: Anvil) -> None:
    with proxying(anvil, lies=Lies(retry_after="3")) as proxy:
        refused = _post(proxy, {"id": 1, "method": "eth_chainId", "params": []})
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "3")
        assert proxy.asked == []
        proxy.lies = Lies()
        assert _result(proxy, "eth_chainId") == "0x1"


def test_it_fails_with_a_web_page_for_the_methods_named(anvil: Anvil) -> None:
    with proxying(anvil, lies=Lies(status=503, only=("eth_getLogs",))) as proxy:
        assert _height(proxy) == 0
        failed = _post(proxy, {"id": 1, "method": "eth_getLogs", "params": [{}]})
        assert (failed.status_code, failed.text[:6]) == (503, "<html>")


def test_it_is_slow(anvil: Anvil) -> None:
    with proxying(anvil, lies=Lies(delay=0.2)) as proxy:
        started = time.monotonic()
        assert _height(proxy) == 0
        assert time.monotonic() - started >= 0.2


def test_it_does_not_wait_for_a_client_that_gave_up(anvil: Anvil) -> None:
    started = time.monotonic()
    with proxying(anvil, lies=Lies(delay=60)) as proxy, pytest.raises(requests.Timeout):
        requests.post(proxy.url, json={"id": 1, "method": "eth_chainId"}, timeout=0.2)
    assert time.monotonic() - started < 30


def test_it_breaks_off_in_the_middle(anvil: Anvil) -> None:
    with proxying(anvil, lies=Lies(cut=True)) as proxy:
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            _ask(proxy, "eth_getBlockByNumber", "0x0", True)
        proxy.lies = Lies(cut_unsaid=True)
        with pytest.raises(requests.exceptions.JSONDecodeError):
            _ask(proxy, "eth_getBlockByNumber", "0x0", True)


def test_it_claims_another_chain(anvil: Anvil) -> None:
    with proxying(anvil, lies=Lies(chain_id=17000)) as proxy:
        assert _result(proxy, "eth_chainId") == hex(17000)
        assert _result(proxy, "net_version") == "17000"


def test_it_lags_behind_and_knows_nothing_newer(anvil: Anvil) -> None:
    token = anvil.deploy("Token", "ANY", 18, 100)
    anvil.mine(98)
    tx = token.send("transfer", ALICE, 5)
    assert anvil.height == 100
    with proxying(anvil, lies=Lies(behind=1)) as proxy:
        assert _height(proxy) == 99
        assert _result(proxy, "eth_getBlockByNumber", "latest", True) == anvil.block(99)
        finalized = _result(proxy, "eth_getBlockByNumber", "finalized", False)
        assert int(finalized["number"], 16) == 99 - 64
        newest = anvil.block(100)["hash"]
        assert _result(proxy, "eth_getBlockByNumber", "0x64", True) is None
        assert _result(proxy, "eth_getBlockByHash", newest, True) is None
        assert _result(proxy, "eth_getBlockReceipts", "0x64") is None
        assert _result(proxy, "eth_getTransactionReceipt", tx) is None
        assert _result(proxy, "eth_getLogs", {"fromBlock": "0x2", "toBlock": "0x64"}) == []
        assert _ask(proxy, "eth_getLogs", {"blockHash": newest})["error"]["code"] == -32000
        refused = _ask(proxy, "eth_getBalance", ALICE, "0x64")["error"]
        assert refused["message"] == "header not found"
        call = {"to": token.address, "data": token.data("balanceOf", ALICE)}
        assert int(_result(proxy, "eth_call", call, "latest"), 16) == 0
        proxy.lies = Lies()
        assert len(_result(proxy, "eth_getLogs", {"fromBlock": "0x2", "toBlock": "0x64"})) == 1


def test_it_hides_traces_and_says_so_in_the_words_of_a_node(anvil: Anvil) -> None:
    with proxying(anvil, lies=Lies(hidden=TRACES)) as proxy:
        for method in ("trace_block", "debug_traceBlockByNumber"):
            assert _ask(proxy, method, "0x0") == {"error": {
                "code": -32601, "message": f"the method {method} does not exist/is not available",
            }}
        assert _height(proxy) == 0


def test_it_answers_null_for_a_method(anvil: Anvil) -> None:
    with proxying(anvil, lies=Lies(null=("eth_getBlockReceipts",))) as proxy:
        assert _ask(proxy, "eth_getBlockReceipts", "0x0") == {"result": None}


def test_it_drops_logs_from_logs_and_from_receipts(anvil: Anvil) -> None:
    token = anvil.deploy("FeeToken", 1000, 100, False, ALICE)
    tx = token.send("transfer", ALICE, 100)
    block = hex(anvil.height)
    assert len(anvil.receipt(tx)["logs"]) == 2
    with proxying(anvil, lies=Lies(keep_logs=1)) as proxy:
        (receipt,) = _result(proxy, "eth_getBlockReceipts", block)
        found = _result(proxy, "eth_getLogs", {"fromBlock": block, "toBlock": block})
        assert found == receipt["logs"] == anvil.receipt(tx)["logs"][:1]
        assert _result(proxy, "eth_getTransactionReceipt", tx) == receipt
        assert receipt["logsBloom"] == anvil.receipt(tx)["logsBloom"]
        proxy.lies = Lies(keep_logs=0)
        assert _result(proxy, "eth_getBlockReceipts", block)[0]["logs"] == []


def test_it_has_pruned_old_states_and_keeps_their_blocks(anvil: Anvil) -> None:
    anvil.mine(20)
    with proxying(anvil, lies=Lies(states=8)) as proxy:
        refused = _ask(proxy, "eth_getBalance", ALICE, hex(11))["error"]
        root = anvil.block(11)["stateRoot"]
        assert refused["code"] == -32000
        assert refused["message"].startswith(f"missing trie node {root[2:]} (path ) state {root}")
        by_hash = {"blockHash": anvil.block(11)["hash"]}
        assert _ask(proxy, "eth_call", {"to": ALICE}, by_hash)["error"] == refused
        traced = _ask(proxy, "debug_traceBlockByNumber", hex(11), {"tracer": "callTracer"})
        assert traced["error"] == refused
        assert _result(proxy, "eth_getBalance", ALICE, hex(12)) == "0x0"
        assert _result(proxy, "eth_getBlockByNumber", hex(11), False)["number"] == hex(11)


def test_it_flaps_between_two_nodes(anvil: Anvil) -> None:
    with ethereum.run(chain_id=1) as other, proxying(anvil, other) as proxy:
        anvil.send(None, ALICE, 1)
        other.mine(3)
        assert [_height(proxy) for _ in range(3)] == [1, 1, 1]
        proxy.lies = Lies(flapping=True)
        assert sorted(_height(proxy) for _ in range(4)) == [1, 1, 3, 3]


def test_a_node_that_is_gone_is_a_bad_gateway() -> None:
    with ethereum.run() as node:
        url = node.url
    with proxying(url) as proxy:
        gone = _post(proxy, {"id": 1, "method": "eth_chainId", "params": []})
    assert (gone.status_code, gone.text) == (502, "bad gateway")
