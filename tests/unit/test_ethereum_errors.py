"""What a provider's error means: the real ones, and those its reports name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.data import shared_data
from tracker.chains.ethereum.errors import (
    PAUSE_SECONDS,
    BatchRefusedError,
    RangeTooLargeError,
    RevertedError,
    explained,
)
from tracker.errors import (
    ConfigError,
    MethodMissingError,
    NotFoundError,
    PrunedStateError,
    QuotaError,
    ReplyError,
    SourceUnavailableError,
    TrackerError,
)

OF_KIND: dict[str, type[TrackerError]] = {
    "logs_too_many": RangeTooLargeError, "logs_range": RangeTooLargeError,
    "rate_limit": SourceUnavailableError, "quota": QuotaError, "pruned_state": PrunedStateError,
}
# The method that the reports were about, where the recorded body does not say it.
METHODS = {"logs_too_many": "eth_getLogs", "logs_range": "eth_getLogs", "pruned_state": "eth_call"}


def read(name: str) -> Any:
    return json.loads((shared_data() / "ethereum" / "errors" / name).read_text())


def told(code: int, message: str, method: str = "eth_call", data: object = None) -> TrackerError:
    return explained({"code": code, "message": message, "data": data}, method=method, source="x")


def error_of(record: dict[str, Any]) -> object:
    body = record["body"]
    if body is None:
        return {"message": record["message"]}
    return (body[0] if isinstance(body, list) else body)["error"]


def test_every_recorded_provider_error_is_of_its_kind() -> None:
    records = read("provider_errors.json")
    assert len(records) == 12
    for record in records:
        kind = record["kind"]
        found = explained(error_of(record), method=METHODS.get(kind, "eth_call"), source="x")
        assert type(found) is OF_KIND[kind] or (
            kind == "rate_limit" and isinstance(found, SourceUnavailableError)
        ), (record["provider"], kind, found)
        assert not isinstance(found, QuotaError) or kind == "quota"
        assert found.mend
        assert found.field


def test_a_rate_limit_says_how_long_to_wait() -> None:
    for record in read("provider_errors.json"):
        if record["kind"] == "rate_limit":
            found = explained(error_of(record), method="eth_call", source="x")
            assert isinstance(found, SourceUnavailableError)
            assert found.retry_after == PAUSE_SECONDS
    slow = told(-32005, "request rate limited", data={"rate": {"backoff_seconds": 7}})
    assert isinstance(slow, SourceUnavailableError)
    assert slow.retry_after == 7


def test_ranges_and_limits_are_read_from_the_words() -> None:
    found = {
        (record["provider"], record["date"]): explained(
            error_of(record), method="eth_getLogs", source="x"
        )
        for record in read("provider_errors.json") if record["kind"].startswith("logs")
    }
    said = {
        key: (error.suggested, error.limit)
        for key, error in found.items() if isinstance(error, RangeTooLargeError)
    }
    assert said == {
        ("Infura", "2024-04-20"): ((0xBDE5F8, 0x102DBCC), None),
        ("Infura", "2026-08-25"): (None, 10_000),
        ("Alchemy", "2024-04-20"): ((0, 0xD043B8), 2_000),
        ("Alchemy", "2025-05-28"): ((0x123C9B2, 0x123CBA5), 500),
        ("QuickNode", "2025-08-11"): (None, 10_000),
        ("public node (Candle)", "2022-09-06"): (None, None),
    }


def test_every_recorded_node_error_is_of_its_kind() -> None:
    records = read("erigon_error_replies.json")
    assert len(records) == 61
    for record in records:
        request, error = record["request"], record["response"]["error"]
        found = explained(error, method=request["method"], source="x")
        text = error["message"]
        if error["code"] == -32601 or text.startswith("not supported"):
            due: type[TrackerError] = MethodMissingError
        elif text.endswith("not found") or "block not found" in text:
            due = NotFoundError
        elif request["method"] == "eth_call" and (error["code"] == 3 or text == "out of gas"):
            due = RevertedError
        elif error["code"] == -32603:
            due = SourceUnavailableError
        else:
            due = ReplyError
        assert type(found) is due, (request["method"], error)


@pytest.mark.parametrize(
    ("code", "message", "method", "due"),
    [
        # https://github.com/paradigmxyz/reth/pull/4092
        (-32603, "State at block #11052984 is pruned", "eth_call", PrunedStateError),
        # https://github.com/ethereum/go-ethereum/issues/20874
        (-32000, "missing trie node ef7df5d8 (path )", "eth_getBalance", PrunedStateError),
        (-32000, "historical state 0x12 is not available", "eth_call", PrunedStateError),
        # https://github.com/BitteProtocol/near-ca/pull/173
        (-32000, "Unauthorized: You must authenticate your request with an API key.",
         "eth_chainId", ConfigError),
        # https://github.com/blockscout/blockscout/pull/14211
        (31, "Batch of more than 3 requests are not allowed on free tier", "eth_getBalance",
         BatchRefusedError),
        # https://github.com/enviodev/hyperindex/issues/715
        (30, "Request timeout on the free tier, please upgrade your tier to the paid one",
         "eth_getBlockByNumber", SourceUnavailableError),
        (30, "Request timeout on the free tier", "eth_getLogs", RangeTooLargeError),
        # https://github.com/circlefin/arc-node/pull/383
        (-32600, "Query exceeds max block range of 10000", "eth_getLogs", RangeTooLargeError),
        # https://github.com/openethereum/parity-ethereum/issues/8860
        (-32601, "Method not found", "trace_block", MethodMissingError),
        (-32000, "header not found", "eth_call", NotFoundError),
        (-39001, "finalized block not found", "eth_getBlockByNumber", NotFoundError),
        (-32603, "Internal error", "eth_getBlockByHash", SourceUnavailableError),
    ],
)
def test_errors_of_reports(
    code: int, message: str, method: str, due: type[TrackerError]
) -> None:
    assert type(told(code, message, method)) is due


def test_nethermind_tells_the_reason_in_the_data() -> None:
    # https://github.com/NethermindEth/nethermind/issues/9408
    found = told(-32603, "Internal error", data="Nethermind.Trie.MissingTrieNodeException: Node A")
    assert isinstance(found, PrunedStateError)


def test_a_batch_limit_is_read_from_the_words() -> None:
    found = told(-32600, "batch limit 100 exceeded (can increase by --rpc.batch.limit). "
                         "Requested batch of size: 101", "batch")
    assert isinstance(found, BatchRefusedError)
    assert found.limit == 100
    free = told(31, "Batch of more than 3 requests are not allowed on free tier", "batch")
    assert isinstance(free, BatchRefusedError)
    assert free.limit == 3


@pytest.mark.parametrize("odd", ["no", None, 7, [], {"code": "x"}, {"message": None}])
def test_what_is_no_error_object_is_an_error_all_the_same(odd: object) -> None:
    assert type(explained(odd, method="eth_call", source="x")) is ReplyError


def test_a_key_in_the_words_does_not_show() -> None:
    found = told(-32000, "bad request to https://user:hunter2@node.example/")
    assert "hunter2" not in str(found)
