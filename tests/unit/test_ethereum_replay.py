"""The adapter over recorded mainnet replies: whole, forged, cut down, of another chain."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.rpc_replies import BLOCK, Replay, RpcServer, error, recorded, serve
from tracker.chains.ethereum.abilities import Abilities
from tracker.chains.ethereum.decode import call_trees_reply
from tracker.chains.ethereum.rpc import RpcClient
from tracker.chains.ethereum.source import RpcSource
from tracker.chains.ethereum.sources import open_beacon, open_source, open_sources
from tracker.chains.http import HttpClient
from tracker.chains.port import EthereumSource, Probe
from tracker.config import Settings
from tracker.errors import (
    ConfigError,
    InputError,
    InvalidBlockError,
    NotFoundError,
    PrunedStateError,
    ReplyError,
    TrackerError,
)

HASH = bytes.fromhex("95b198e154acbfc64109dfd22d8224fe927fd8dfdedfae01587674482ba4baf3")
WETH = bytes.fromhex("c02aaa39b223fe8d0a0e5c4f27ead9083c756cc2")
TRANSFER = bytes.fromhex("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")


@contextmanager
def replayed(
    node: Replay, **options: Any
) -> Iterator[tuple[RpcSource, RpcServer]]:
    with serve(node.answer) as server:
        http = HttpClient(server.url, timeout_seconds=10, user_agent="test", field="test")
        source = RpcSource(RpcClient(http), **options)
        try:
            yield source, server
        finally:
            source.close()


def methods(server: RpcServer) -> list[str]:
    return [method for method, _ in server.asked]


def test_a_block_comes_whole_in_one_request() -> None:
    with replayed(Replay()) as (source, server):
        found = source.block(HASH)
    assert server.batches == [2]
    assert found.block.number == hex(BLOCK)
    assert len(found.block.transactions) == len(found.receipts or ()) == 94
    assert len(found.block.withdrawals) == 16
    assert [int(log.log_index, 16) for log in found.logs] == list(range(len(found.logs)))
    assert found.logs_complete
    assert found.traces is None


def test_without_block_receipts_they_come_one_by_one_and_that_is_remembered() -> None:
    with replayed(Replay()) as (source, _):
        whole = source.block(HASH)
    with replayed(Replay(hidden=("eth_getBlockReceipts",))) as (source, server):
        found = source.block(HASH)
        assert methods(server).count("eth_getTransactionReceipt") == 94
        assert server.batches == [2, 50, 44]
        assert source.block(HASH).receipts == found.receipts
        assert methods(server).count("eth_getBlockReceipts") == 1
    assert found == whole


def test_what_a_node_lacks_is_asked_for_again_after_a_while() -> None:
    now = [0.0]
    abilities = Abilities(hold=60, clock=lambda: now[0])
    node = Replay(hidden=("eth_getBlockReceipts",))
    with replayed(node, abilities=abilities) as (source, server):
        source.block(HASH)
        now[0] = 59
        source.block(HASH)
        assert methods(server).count("eth_getBlockReceipts") == 1
        now[0], node.hidden = 61, ()
        source.block(HASH)
        assert server.batches[-1] == 2


def test_without_any_receipts_the_logs_are_compared_with_the_bloom() -> None:
    hidden = ("eth_getBlockReceipts", "eth_getTransactionReceipt")
    with replayed(Replay(hidden=hidden)) as (source, _):
        found = source.block(HASH)
        assert found.receipts is None
        assert len(found.logs) == sum(len(item["logs"]) for item in Replay().receipts)
    node = Replay(hidden=hidden)
    for receipt in node.receipts[40:]:
        receipt["logs"] = []
    with replayed(node) as (source, _), pytest.raises(InvalidBlockError) as caught:
        source.block(HASH)
    assert caught.value.field == "logsBloom"


def test_logs_of_a_block_that_are_too_many_are_for_another_source() -> None:
    node = Replay(hidden=("eth_getBlockReceipts", "eth_getTransactionReceipt"))

    def answer(method: str, params: list[Any]) -> dict[str, Any]:
        if method == "eth_getLogs":
            return error(-32005, "query returned more than 10000 results")
        return node.answer(method, params)

    with serve(answer) as server, pytest.raises(NotFoundError, match="single block"):
        open_source(server.url, Settings()).block(HASH)


def _forge_value(node: Replay) -> None:
    node.block["transactions"][40]["value"] = "0x1"


def _forge_withdrawal(node: Replay) -> None:
    node.block["withdrawals"][0]["amount"] = "0xffffffff"


def _forge_log(node: Replay) -> None:
    log = next(log for receipt in node.receipts for log in receipt["logs"] if len(log["data"]) > 60)
    log["data"] = "0x" + "00" * 32


def _cut_logs(node: Replay) -> None:
    next(receipt for receipt in node.receipts if receipt["logs"])["logs"].pop()


def _other_chain(node: Replay) -> None:
    node.block = {**node.block, "stateRoot": "0x" + "11" * 32}


@pytest.mark.parametrize(("forge", "field"), [
    (_forge_value, "hash"), (_forge_withdrawal, "withdrawalsRoot"), (_forge_log, "receiptsRoot"),
    (_cut_logs, "receiptsRoot"), (_other_chain, "header"),
])
def test_a_forged_block_is_found_unless_the_node_is_trusted(
    forge: Callable[[Replay], None], field: str
) -> None:
    node = Replay()
    forge(node)
    with replayed(node) as (source, _), pytest.raises(InvalidBlockError) as caught:
        source.block(HASH)
    assert caught.value.field == field
    with replayed(node, verify=False) as (source, _):
        assert source.block(HASH).block.number == hex(BLOCK)


def test_even_a_trusted_node_must_send_the_block_that_was_asked_for() -> None:
    node = Replay()
    asked = node.block["hash"]

    def answer(method: str, params: list[Any]) -> dict[str, Any]:
        reply = node.answer(method, params)
        if method == "eth_getBlockByHash":
            reply = {"result": {**reply["result"], "hash": "0x" + "11" * 32}}
        return reply

    with serve(answer) as server:
        source = open_source(server.url, Settings(ethereum_checks="trusted"))
        with pytest.raises(InvalidBlockError, match="another block"):
            source.block(bytes.fromhex(asked[2:]))


@pytest.mark.parametrize(("node", "due"), [
    (Replay, "mainnet"),
    (lambda: Replay(chain_id=11_155_111), "another chain (id 11155111, first block 0xd4e5"),
    (lambda: Replay(chain_id=31_337), "chain-31337"),
])
def test_the_chain_is_told_by_id_and_first_block(node: Callable[[], Replay], due: str) -> None:
    with replayed(node()) as (source, _):
        assert (source.network() or "").startswith(due)


def test_a_forged_first_block_is_found() -> None:
    node = Replay()
    node.genesis["extraData"] = "0x00"
    with replayed(node) as (source, _), pytest.raises(InvalidBlockError):
        source.network()


def test_tags_that_a_node_does_not_know_are_unknown() -> None:
    with replayed(Replay(finalized=False)) as (source, _):
        assert source.finalized() is None
        assert source.safe() == source.tip()


def test_logs_by_range_are_filtered_and_end_at_the_final_height() -> None:
    with replayed(Replay()) as (source, _):
        found = source.logs(BLOCK, BLOCK, [WETH], [[TRANSFER]])
        assert 0 < len(found) < len(source.logs(BLOCK, BLOCK))
        assert {log.address for log in found} == {"0x" + WETH.hex()}
        with pytest.raises(InputError) as caught:
            source.logs(BLOCK, BLOCK + 1)
        assert caught.value.field == "last"


def test_a_log_that_was_not_asked_for_is_not_taken() -> None:
    with replayed(Replay()) as (source, _), pytest.raises(ReplyError, match="not asked for"):
        source.logs(BLOCK - 10, BLOCK - 1)  # the replay gives its logs whatever the range


def probes(source: RpcSource, *keys: str) -> dict[Probe, int | None]:
    return source.balances([bytes.fromhex(key[2:]) for key in keys], [WETH], HASH)


def test_balances_of_many_come_in_chunks_of_one_request() -> None:
    node = Replay()
    keys = [*node.balances, *(f"0x{number:040x}" for number in range(2**20, 2**20 + 500))]
    with replayed(node) as (source, server):
        found = probes(source, *keys)
    assert server.batches == [3]  # 1,244 balances by 500
    assert all(
        found[Probe(bytes.fromhex(key[2:]), None)] == int(wei, 16)
        for key, wei in node.balances.items()
    )
    assert {found[Probe(bytes.fromhex(key[2:]), WETH)] for key in keys} == {None}


@pytest.mark.parametrize("by_hash", [True, False])
def test_without_multicall_balances_come_in_batches(by_hash: bool) -> None:
    node = Replay(multicall=False, by_hash=by_hash, chain_id=5)
    with replayed(node, chain_id=5) as (source, server):
        found = probes(source, *node.balances)
        assert found[Probe(bytes.fromhex(next(iter(node.balances))[2:]), None)] is not None
        assert methods(server).count("eth_getBalance") == len(node.balances)
        source.block(HASH)
        last = server.asked[-3:]
        assert by_hash == all(method != "eth_getBlockByNumber" for method, _ in last)


def test_a_silent_multicall_on_mainnet_is_a_lost_state() -> None:
    # https://github.com/erigontech/erigon/issues/5274: its balances would then be 0.
    with replayed(Replay(multicall=False)) as (source, _), pytest.raises(PrunedStateError):
        probes(source, *list(Replay().balances)[:2])


@pytest.mark.parametrize("by_hash", [True, False])
def test_a_lost_state_says_so(by_hash: bool) -> None:
    with replayed(Replay(state=False, by_hash=by_hash)) as (source, _):
        with pytest.raises(PrunedStateError) as caught:
            probes(source, *list(Replay().balances)[:2])
        assert caught.value.mend
        with pytest.raises(PrunedStateError):
            source.call(WETH, b"\x00", HASH)


def test_a_call_that_is_refused_gives_nothing_and_one_without_contract_is_empty() -> None:
    with replayed(Replay()) as (source, _):
        assert source.call(bytes.fromhex("ca11bde05977b3631167028862be2a173976ca11"), b"x", HASH) \
            is None
        assert source.call(WETH, b"x", HASH) == b""


def test_state_by_number_is_given_up_when_the_block_has_left_the_chain() -> None:
    node = Replay(by_hash=False)
    with replayed(node) as (source, _):
        source.block(HASH)
        node.block = {**node.block, "hash": "0x" + "11" * 32}
        source._verify = False
        with pytest.raises(NotFoundError, match="no longer has the block"):
            probes(source, *list(Replay().balances)[:2])


def test_traces_that_a_node_does_not_offer_are_none() -> None:
    with replayed(Replay()) as (source, server):
        assert source.traces(HASH) is None
        assert source.traces(HASH) is None
        assert methods(server).count("trace_block") == 1
        assert methods(server).count("debug_traceBlockByHash") == 1
    with replayed(Replay(), traces=False) as (source, server):
        assert source.traces(HASH) is None
        assert server.asked == []


RECORDED_TRACES = {
    "trace_block__test_01.json": 37, "trace_block__test_03.json": 3, "trace_block__test_10.json": 8,
    "trace_block__test_12.json": 42, "trace_block__test_14.json": 1,
    "trace_block__test_20.json.gz": 491, "trace_block__test_22.json": 4,
    "trace_block__test_26.json.gz": 799,
}


@pytest.mark.parametrize("name", RECORDED_TRACES)
def test_recorded_traces_come_whole_and_only_for_their_block(name: str) -> None:
    frames = recorded(name)
    number, asked = frames[0]["blockNumber"], frames[0]["blockHash"]
    header = {**Replay().genesis, "number": hex(number), "hash": asked}
    shown = [header]

    def answer(method: str, params: list[Any]) -> dict[str, Any]:
        if method == "trace_block":
            return {"result": frames if params == [hex(number)] else None}
        return {"result": header if method == "eth_getBlockByHash" else shown[0]}

    with serve(answer) as server:
        source = open_source(server.url, Settings(ethereum_checks="trusted"))
        found = source.traces(bytes.fromhex(asked[2:]))
        assert found is not None
        assert len(found) == RECORDED_TRACES[name]
        shown[0] = {**header, "hash": "0x" + "11" * 32}  # the chain forked meanwhile
        with pytest.raises(NotFoundError):
            source.traces(bytes.fromhex(asked[2:]))


def test_calls_nested_deeper_than_can_be_read_are_no_lie() -> None:
    def trees(depth: int) -> bytes:
        frame = b'{"type":"CALL","from":"0x","calls":['
        return b'[{"result":' + frame * depth + b"]}" * depth + b"}]"

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    try:
        assert call_trees_reply(trees(1024), "test") is None
        assert len(call_trees_reply(trees(100), "test") or ()) == 1
        with pytest.raises(ReplyError):
            call_trees_reply(b'[{"result":7}]', "test")
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("field", ["hash", "number", "transactions", "timestamp", "withdrawals"])
@pytest.mark.parametrize("value", [None, 7, "0xzz", {}, [7]])
def test_a_block_of_nonsense_is_refused_as_ours(field: str, value: object) -> None:
    node = Replay()
    node.block = {**node.block, field: value}
    with serve(lambda method, params: {
        "result": node.receipts if method == "eth_getBlockReceipts" else node.block
    }) as server:
        source = open_source(server.url, Settings())
        with pytest.raises((ReplyError, InvalidBlockError)) as caught:
            source.block(HASH)
    assert caught.value.mend


def test_settings_open_the_named_sources_and_hide_their_keys() -> None:
    key = "0123456789abcdef0123"
    sources = open_sources(Settings(
        ethereum_rpc_urls=(f"https://node.example/v3/{key}", "http://user:hunter2@127.0.0.1:8545")
    ))
    assert [source.kind for source in sources] == ["rpc", "rpc"]
    assert all(isinstance(source, EthereumSource) for source in sources)
    assert key not in sources[0].name
    assert "hunter2" not in sources[1].name
    assert open_sources(Settings(ethereum_rpc_urls=())) == []
    assert len(open_sources(Settings())) == 3


@pytest.mark.parametrize("url", ["node.example", "ftp://node.example", "https://", "https://x/?k=1"])
def test_a_url_that_is_none_is_a_setting_to_mend(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_sources(Settings(ethereum_rpc_urls=(url,)))
    assert caught.value.field == "TRACKER_ETHEREUM_RPC_URLS"
    with pytest.raises(ConfigError) as caught:
        open_beacon(Settings(beacon_url=url))
    assert caught.value.field == "TRACKER_BEACON_URL"


def test_every_error_of_a_dead_endpoint_is_ours() -> None:
    source = open_source("http://127.0.0.1:9", Settings(http_timeout_seconds=1))
    for ask in (source.tip, source.network, source.finalized, lambda: source.block(HASH)):
        with pytest.raises(TrackerError):
            ask()
