"""A JSON-RPC endpoint that behaves, and all the ways in which one does not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.rpc_replies import RpcServer, error, serve
from tracker.chains.ethereum.errors import PAUSE_SECONDS
from tracker.chains.ethereum.rpc import Call, RpcClient
from tracker.chains.http import HttpClient
from tracker.chains.port import SlowDownError
from tracker.errors import (
    ConfigError,
    MethodMissingError,
    QuotaError,
    ReplyError,
    SourceUnavailableError,
    TrackerError,
)

SECRET = "hunter2-0123456789abcdef"


def echo(method: str, params: list[Any]) -> dict[str, Any]:
    if method == "wrong":
        return error(-32000, "header not found")
    if method == "slow_down":
        return error(-32012, "credits limited to 6000/sec")
    return {"result": params}


@pytest.fixture
def server() -> Iterator[RpcServer]:
    with serve(echo) as running:
        yield running


def client(server: RpcServer, *, batch_size: int = 50, timeout: float = 5) -> RpcClient:
    url = f"{server.url}/v2/{SECRET}"
    return RpcClient(
        HttpClient(url, timeout_seconds=timeout, user_agent="test", field="test"),
        batch_size=batch_size,
    )


def values(found: list[Any]) -> list[Any]:
    return [
        type(item) if isinstance(item, TrackerError) else msgspec.json.decode(item)
        for item in found
    ]


def test_a_call_gives_its_raw_result(server: RpcServer) -> None:
    assert bytes(client(server).call("echo", ["a", 1])) == b'["a", 1]'
    assert server.asked == [("echo", ["a", 1])]


def test_an_error_is_raised_as_ours(server: RpcServer) -> None:
    with pytest.raises(TrackerError) as caught:
        client(server).call("wrong")
    assert caught.value.code == "not_found"
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("text_ids", [False, True])
def test_a_batch_comes_in_the_order_of_asking(
    server: RpcServer, reverse: bool, text_ids: bool
) -> None:
    server.reverse, server.text_ids = reverse, text_ids
    found = client(server, batch_size=4).batch([Call("echo", [n]) for n in range(10)])
    assert values(found) == [[n] for n in range(10)]
    # Batches of four, and what is left.
    assert server.batches == [4, 4, 2]


def test_one_failed_call_leaves_the_others(server: RpcServer) -> None:
    found = client(server).batch([Call("echo", [1]), Call("wrong"), Call("echo", [2])])
    assert [isinstance(item, TrackerError) for item in found] == [False, True, False]


def test_a_batch_of_nothing_but_rate_limits_is_a_rate_limit(server: RpcServer) -> None:
    with pytest.raises(SlowDownError) as caught:
        client(server).batch([Call("slow_down"), Call("slow_down")])
    assert caught.value.retry_after == PAUSE_SECONDS
    mixed = client(server).batch([Call("echo", [1]), Call("slow_down")])
    assert isinstance(mixed[1], SlowDownError)


@pytest.mark.parametrize("lost", [1, 3])
def test_answers_that_were_left_out_are_missed(server: RpcServer, lost: int) -> None:
    server.lose = lost
    with pytest.raises(SourceUnavailableError, match=f"left out {lost} of 5"):
        client(server).batch([Call("echo", [n]) for n in range(5)])


def test_a_refused_batch_is_sent_in_the_size_that_is_told(server: RpcServer) -> None:
    server.batch_limit = 3
    rpc = client(server)
    assert values(rpc.batch([Call("echo", [n]) for n in range(7)])) == [[n] for n in range(7)]
    assert server.batches == [7, 3, 3]  # and the last one alone
    rpc.batch([Call("echo", [n]) for n in range(4)])
    assert server.batches[3:] == [3]


@pytest.mark.parametrize("status", [400, 405, 413])
def test_a_server_without_batches_is_asked_one_by_one(server: RpcServer, status: int) -> None:
    server.batch_status = status
    rpc = client(server)
    assert values(rpc.batch([Call("echo", [n]) for n in range(5)])) == [[n] for n in range(5)]
    assert values(rpc.batch([Call("echo", [n]) for n in range(2)])) == [[0], [1]]
    assert server.batches == [5]


def test_each_item_of_a_batch_may_refuse_the_batch() -> None:
    # https://github.com/blockscout/blockscout/pull/14211
    def free_tier(method: str, params: list[Any]) -> dict[str, Any]:
        if running.batches[-1] > 3:
            return error(31, "Batch of more than 3 requests are not allowed on free tier")
        return {"result": params}

    with serve(free_tier) as running:
        found = client(running).batch([Call("echo", [n]) for n in range(6)])
        assert values(found) == [[n] for n in range(6)]
        assert running.batches == [6, 3, 3]


PAGE = b"<!DOCTYPE html><html>Just a moment...</html>"


@pytest.mark.parametrize(("raw", "due", "says"), [
    ((200, {}, PAGE), ReplyError, "without JSON"),
    ((200, {}, b""), ReplyError, "without JSON"),
    ((404, {}, PAGE), ReplyError, "404"),
    ((401, {}, b"no key"), ConfigError, "refuses us"),
    ((403, {}, PAGE), ConfigError, "refuses us"),
    ((402, {}, b"pay"), QuotaError, "payment"),
    ((500, {}, PAGE), SourceUnavailableError, "out of order"),
    ((503, {}, b"down"), SourceUnavailableError, "out of order"),
    ((200, {}, b'{"jsonrpc":"2.0","id":1,"resu'), SourceUnavailableError, "broke off"),
    ((200, {}, b'{"jsonrpc":"2.0","id":1}'), ReplyError, "neither result nor error"),
    ((200, {}, b'{"jsonrpc":"2.0","id":77,"result":1}'), ReplyError, "what was asked"),
    ((200, {}, b'{"jsonrpc":"2.0","id":[],"result":1}'), ReplyError, "JSON-RPC answer"),
    ((200, {}, b"[]"), ReplyError, "one answer"),
    ((200, {}, b'"text"'), ReplyError, "without JSON"),
    ((200, {}, b'{"result":\xff}'), ReplyError, "without JSON"),
    ((200, {}, b"[" * 100_000), ReplyError, "JSON-RPC answer"),
    ((413, {}, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no method"}}'),
     MethodMissingError, "does not offer"),
    ((500, {}, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no method"}}'),
     MethodMissingError, "does not offer"),
    ((200, {}, b'[{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no method"}}]'),
     MethodMissingError, "does not offer"),
    ((200, {}, b"{}" + b" " * 5_000_000), ReplyError, "more than"),
])
def test_replies_that_are_none(
    server: RpcServer, raw: tuple[int, dict[str, str], bytes], due: type[TrackerError], says: str
) -> None:
    server.raw = raw
    with pytest.raises(due, match=says) as caught:
        client(server).call("echo")
    assert caught.value.mend
    assert SECRET not in str(caught.value)


def test_an_endless_nesting_is_given_up(server: RpcServer) -> None:
    # The interpreter's own limit is what ends it; property tests in this process may raise it.
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    try:
        server.raw = (200, {}, b'{"error":' + b"[" * 100_000)
        with pytest.raises(SourceUnavailableError, match="broke off"):
            client(server).call("echo")
    finally:
        sys.setrecursionlimit(limit)


def test_a_429_is_a_pause_as_long_as_it_says(server: RpcServer) -> None:
    server.raw = (429, {"Retry-After": "77"}, b"slow down")
    with pytest.raises(SlowDownError) as caught:
        client(server).call("echo")
    assert caught.value.retry_after == 77
    server.raw = (429, {}, b"slow down")
    with pytest.raises(SlowDownError) as caught:
        client(server).batch([Call("echo"), Call("echo")])
    assert caught.value.retry_after == PAUSE_SECONDS


def test_half_a_batch_is_no_batch(server: RpcServer) -> None:
    server.cut = True
    with pytest.raises(SourceUnavailableError, match="broke off"):
        client(server).batch([Call("echo", ["x" * 50]), Call("echo", ["y" * 50])])


def test_an_answer_given_twice_is_not_believed(server: RpcServer) -> None:
    server.raw = (200, {}, b'[{"id":1,"result":1},{"id":1,"result":2}]')
    with pytest.raises(ReplyError, match="what was asked"):
        client(server).batch([Call("echo"), Call("echo")])


def test_a_slow_server_meets_the_deadline(server: RpcServer) -> None:
    server.delay = 0.8
    with pytest.raises(SourceUnavailableError, match=r"longer than 0\.2 seconds"):
        client(server, timeout=0.2).call("echo")


def test_the_name_has_no_key(server: RpcServer) -> None:
    assert SECRET not in client(server).name
    assert client(server).name.startswith(server.url)
