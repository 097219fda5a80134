"""What can be wrong with an Ethereum node or with the way to it, to be switched on in a proxy.

Two sorts: of the transport (slow, refused, cut), and of the content (an old tip, no old states,
logs left out, methods missing, another chain). Where a real node would answer with an error, the
answer has that node's words: go-ethereum's, where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

Call = Callable[[str, list[Any]], dict[str, Any]]  # method, parameters -> the reply's members

TRACES = ("trace_*", "debug_*")  # what ordinary public nodes do not offer
_SAFE_LAG, _FINALIZED_LAG = 32, 64

# Where a method names its block; those of state are refused by a node that has pruned it.
_STATE_AT = {
    "eth_getBalance": 1, "eth_getCode": 1, "eth_getTransactionCount": 1, "eth_call": 1,
    "eth_getStorageAt": 2, "eth_getProof": 2, "debug_traceBlockByNumber": 0,
    "debug_traceBlockByHash": 0,
}
_BLOCK_AT = {
    **_STATE_AT, "eth_getBlockByNumber": 0, "eth_getBlockByHash": 0, "eth_getBlockReceipts": 0,
    "eth_getBlockTransactionCountByNumber": 0, "trace_block": 0, "trace_replayBlockTransactions": 0,
}
_BY_TRANSACTION = ("eth_getTransactionReceipt", "eth_getTransactionByHash")


@dataclass(slots=True)
class Lies:
    """What a proxy does wrong, until it is set back. `Lies()` is honest."""

    only: tuple[str, ...] = ("*",)  # the methods, as patterns, that the transport fails for
    delay: float = 0.0  # seconds
    retry_after: str | None = None  # status 429 with this header: seconds or a date
    status: int | None = None  # this status, with a web page
    cut: bool = False  # half of the body under the length of the whole
    cut_unsaid: bool = False  # half of the body, its length stated rightly
    flapping: bool = False  # every other request goes to the next backend
    chain_id: int | None = None
    behind: int = 0  # blocks: an older tip, and nothing above it
    hidden: tuple[str, ...] = ()  # methods, as patterns, that do not exist
    null: tuple[str, ...] = ()  # methods, as patterns, that answer null
    keep_logs: int | None = None  # of each list of logs, this many from its start
    states: int | None = None  # how many blocks below the tip states are kept

    def fails(self, methods: list[str]) -> bool:
        """Whether the transport's faults strike a request of these methods."""
        return any(_named(method, self.only) for method in methods)

    def answer(self, ask: Call, method: str, params: list[Any]) -> dict[str, Any]:
        """The members `result` or `error` of the reply to a call; `ask` asks the real node."""
        if _named(method, self.hidden):
            return _error(-32601, f"the method {method} does not exist/is not available")
        if _named(method, self.null):
            return {"result": None}
        if self.chain_id is not None and method in ("eth_chainId", "net_version"):
            shown = hex(self.chain_id) if method == "eth_chainId" else str(self.chain_id)
            return {"result": shown}
        tip = None
        if self.behind or self.states is not None:
            tip = max(int(ask("eth_blockNumber", [])["result"], 16) - self.behind, 0)
            refused = self._refused(ask, tip, method, params)
            if refused is not None:
                return refused
        if self.behind and tip is not None:
            if method == "eth_blockNumber":
                return {"result": hex(tip)}
            params = _at_tip(method, params, tip)
        reply = ask(method, params)
        if self.behind and tip is not None:
            reply = _without_newer(method, reply, tip)
        if self.keep_logs is not None and reply.get("result"):
            reply = {"result": _shortened(method, reply["result"], self.keep_logs)}
        return reply

    def _refused(
        self, ask: Call, tip: int, method: str, params: list[Any]
    ) -> dict[str, Any] | None:
        place = _BLOCK_AT.get(method)
        if place is None or len(params) <= place:
            return None
        named = _block(ask, params[place], tip)
        if named is None:
            return None
        number, state_root = named
        if number > tip:
            if method in _STATE_AT:
                return _error(-32000, "header not found")
            return {"result": None}
        if self.states is not None and method in _STATE_AT and number < tip - self.states:
            root = state_root.removeprefix("0x")
            why = f"(path ) state 0x{root} is not available, not found"
            return _error(-32000, f"missing trie node {root} {why}")
        return None


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _named(method: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(method, pattern) for pattern in patterns)


def _block(ask: Call, named: Any, tip: int) -> tuple[int, str] | None:
    """Number and state root of the block that a parameter names; None where it does not exist."""
    if isinstance(named, dict):
        named = named.get("blockHash", named.get("blockNumber"))
    by_hash = isinstance(named, str) and len(named) == 66
    if not by_hash:
        named = _shown(named, tip)
    method = "eth_getBlockByHash" if by_hash else "eth_getBlockByNumber"
    found = ask(method, [named, False]).get("result")
    return None if found is None else (int(found["number"], 16), found["stateRoot"])


def _shown(tag: Any, tip: int) -> Any:
    """The number that a tag stands for under an older tip; anything else as it is."""
    lags = {"latest": 0, "pending": 0, "safe": _SAFE_LAG, "finalized": _FINALIZED_LAG}
    if tag == "earliest":
        return "0x0"
    return hex(max(tip - lags[tag], 0)) if isinstance(tag, str) and tag in lags else tag


def _at_tip(method: str, params: list[Any], tip: int) -> list[Any]:
    if method in ("eth_getLogs", "trace_filter") and params and "blockHash" not in params[0]:
        asked = dict(params[0])
        for edge in ("fromBlock", "toBlock"):
            number = _shown(asked.get(edge, "latest"), tip)
            asked[edge] = hex(min(int(number, 16), tip))
        return [asked, *params[1:]]
    place = _BLOCK_AT.get(method)
    if place is None or len(params) <= place:
        return params
    return [*params[:place], _shown(params[place], tip), *params[place + 1:]]


def _without_newer(method: str, reply: dict[str, Any], tip: int) -> dict[str, Any]:
    found = reply.get("result")
    newer = isinstance(found, dict) and int(found.get("blockNumber") or "0x0", 16) > tip
    if method in _BY_TRANSACTION and newer:
        return {"result": None}
    logs = found if method == "eth_getLogs" and isinstance(found, list) else []
    if any(int(log["blockNumber"], 16) > tip for log in logs):  # asked for by a newer block's hash
        return _error(-32000, "unknown block")
    return reply


def _shortened(method: str, result: Any, keep: int) -> Any:
    if method == "eth_getLogs":
        return result[:keep]
    if method == "eth_getTransactionReceipt":
        return {**result, "logs": result["logs"][:keep]}
    if method == "eth_getBlockReceipts":
        return [{**receipt, "logs": receipt["logs"][:keep]} for receipt in result]
    return result
