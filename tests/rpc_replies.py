"""Recorded Ethereum replies, and a real JSON-RPC server on loopback that gives them again."""

from __future__ import annotations

import gzip
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import eth_abi
from eth_utils import keccak

from tests.data import shared_data

BLOCK = 18_000_000
MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11"
_AGGREGATE = "0x" + keccak(text="aggregate3((address,bool,bytes)[])")[:4].hex()
_ETH_BALANCE = keccak(text="getEthBalance(address)")[:4]

Answer = Callable[[str, list[Any]], dict[str, Any]]  # method, parameters -> `result` or `error`


@lru_cache(maxsize=64)
def _text(name: str) -> bytes:
    path = shared_data() / "ethereum" / "rpc" / name
    return gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()


def recorded(name: str) -> Any:
    """The result of a recorded call, fresh to be changed."""
    return json.loads(_text(name))[0]["response"]["result"]


def recorded_block() -> dict[str, Any]:
    """Block 18,000,000 with its transactions."""
    return dict(recorded("eth_getBlockByNumber__test_08.json.gz"))


def recorded_receipts() -> list[dict[str, Any]]:
    """The receipts of block 18,000,000."""
    return list(recorded("eth_getBlockReceipts__test_02.json.gz"))


def error(code: int, message: str) -> dict[str, Any]:
    """An error object in its place."""
    return {"error": {"code": code, "message": message}}


@dataclass(slots=True)
class RpcServer:
    """A running server; what it does wrong may be changed at any time."""

    url: str
    answer: Answer
    asked: list[tuple[str, list[Any]]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)  # the length of each that came
    batch_limit: int | None = None  # longer ones are refused with an error object
    batch_status: int | None = None  # batches are refused with this status and a page
    reverse: bool = False  # the answers of a batch in the other order
    lose: int = 0  # so many answers of a batch are left out
    text_ids: bool = False
    raw: tuple[int, dict[str, str], bytes] | None = None  # this, whatever is asked
    delay: float = 0.0
    cut: bool = False  # half of each body, its length stated rightly

    def body(self, asked: Any) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and bytes for a request."""
        if self.raw is not None:
            return self.raw
        if isinstance(asked, list):
            self.batches.append(len(asked))
            if self.batch_status is not None:
                return self.batch_status, {}, b"<html>no</html>"
            if self.batch_limit is not None and len(asked) > self.batch_limit:
                said = f"batch limit {self.batch_limit} exceeded"
                found: Any = [{"jsonrpc": "2.0", "id": None, **error(-32600, said)}]
            else:
                found = [self._one(call) for call in asked]
                found = found[: len(found) - self.lose]
                found = found[::-1] if self.reverse else found
        else:
            found = self._one(asked)
        content = json.dumps(found).encode()
        return 200, {}, content[: len(content) // 2] if self.cut else content

    def _one(self, call: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((call["method"], call["params"]))
        place = str(call["id"]) if self.text_ids else call["id"]
        return {"jsonrpc": "2.0", "id": place, **self.answer(call["method"], call["params"])}


@contextmanager
def serve(answer: Answer) -> Iterator[RpcServer]:
    """Answer JSON-RPC by `answer` on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, content = server.body(asked)
            time.sleep(server.delay)
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except (BrokenPipeError, ConnectionResetError):
                return  # the client gave up, which is what some tests are about

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            # A client that hangs up on an answer that is too long is meant here.
            if not isinstance(sys.exception(), OSError):
                super().handle_error(request, client_address)  # type: ignore[arg-type]

    httpd = Server(("127.0.0.1", 0), Handler)
    server = RpcServer(f"http://127.0.0.1:{httpd.server_address[1]}", answer)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@dataclass(slots=True)
class Replay:
    """The mainnet node of the records: block 0, block 18,000,000, and the balances after it.

    `before` are balances after the block below, whose records are missing; without any, that state
    is gone. `hidden` methods do not exist; `state` False is a node that lost the state of that
    block, with go-ethereum's words; `multicall` False one where the contract is not there.
    """

    block: dict[str, Any] = field(default_factory=recorded_block)
    receipts: list[dict[str, Any]] = field(default_factory=recorded_receipts)
    genesis: dict[str, Any] = field(
        default_factory=lambda: dict(recorded("eth_getBlockByNumber__test_12.json"))
    )
    balances: dict[str, str] = field(
        default_factory=lambda: dict(recorded("erigon_getBalanceChangesInBlock__test_08.json"))
    )
    before: dict[str, str] = field(default_factory=dict)
    chain_id: int = 1
    hidden: tuple[str, ...] = ()
    state: bool = True
    multicall: bool = True
    by_hash: bool = True  # EIP-1898
    finalized: bool = True

    def answer(self, method: str, params: list[Any]) -> dict[str, Any]:
        """What the node answers."""
        if method in self.hidden:
            return error(-32601, f"the method {method} does not exist/is not available")
        ask = getattr(self, f"_{method}", None)
        if ask is None:
            return error(-32601, f"the method {method} does not exist/is not available")
        found = ask(*params)
        return found if isinstance(found, dict) and set(found) == {"error"} else {"result": found}

    def _eth_chainId(self) -> str:  # noqa: N802 - the node's name
        return hex(self.chain_id)

    def _eth_getBlockByNumber(self, place: str, full: bool) -> Any:  # noqa: N802
        if place == "finalized" and not self.finalized:
            return error(-39001, "finalized block not found")
        heights = {"0x0": self.genesis, self.block["number"]: self.block, "latest": self.block}
        heights |= {"finalized": self.block, "safe": self.block}
        return _shown(heights.get(place), full)

    def _eth_getBlockByHash(self, place: str, full: bool) -> Any:  # noqa: N802
        by_hash = {self.genesis["hash"]: self.genesis, self.block["hash"]: self.block}
        return _shown(by_hash.get(place), full)

    def _eth_getBlockReceipts(self, place: str) -> Any:  # noqa: N802
        return self.receipts if place == self.block["hash"] else None

    def _eth_getTransactionReceipt(self, tx: str) -> Any:  # noqa: N802
        return next((item for item in self.receipts if item["transactionHash"] == tx), None)

    def _eth_getLogs(self, query: dict[str, Any]) -> Any:  # noqa: N802
        logs = [log for receipt in self.receipts for log in receipt["logs"]]
        if "address" in query:
            logs = [log for log in logs if log["address"] in query["address"]]
        return [log for log in logs if _passes(log["topics"], query.get("topics", ()))]

    def _eth_getBalance(self, address: str, place: Any) -> Any:  # noqa: N802
        return self._refused(place) or self._balances(place).get(address, "0x0")

    def _eth_call(self, request: dict[str, str], place: Any) -> Any:
        refused = self._refused(place)
        if refused:
            return refused
        data = request["data"]
        if request["to"] != MULTICALL3 or not self.multicall:
            return "0x"
        if not data.startswith(_AGGREGATE):
            return error(3, "execution reverted")
        (calls,) = eth_abi.decode(["(address,bool,bytes)[]"], bytes.fromhex(data[10:]))
        found = []
        for target, _, inner in calls:
            if target == MULTICALL3 and inner[:4] == _ETH_BALANCE:
                wei = int(self._balances(place).get("0x" + inner[16:].hex(), "0x0"), 16)
                found.append((True, eth_abi.encode(["uint256"], [wei])))
            else:
                found.append((True, b""))  # an address without a contract
        return "0x" + eth_abi.encode(["(bool,bytes)[]"], [found]).hex()

    def _is_before(self, place: Any) -> bool:
        parent = {"blockHash": self.block["parentHash"], "requireCanonical": True}
        return bool(self.before) and place == parent

    def _balances(self, place: Any) -> dict[str, str]:
        return self.before if self._is_before(place) else self.balances

    def _refused(self, place: Any) -> dict[str, Any] | None:
        if isinstance(place, dict) and not self.by_hash:
            return error(-32602, "invalid argument 1: json: cannot unmarshal object")
        known = ({"blockHash": self.block["hash"], "requireCanonical": True}, self.block["number"])
        if place not in known and not self._is_before(place):
            return error(-32000, "header not found")
        if not self.state:
            root = self.block["stateRoot"]
            return error(-32000, f"missing trie node {root[2:]} (path ) state {root} is not "
                                 "available, not found")
        return None


def _shown(block: dict[str, Any] | None, full: bool) -> Any:
    if block is None or full:
        return block
    return {**block, "transactions": [
        tx if isinstance(tx, str) else tx["hash"] for tx in block["transactions"]
    ]}


def _passes(topics: Sequence[str], wanted: Sequence[Any]) -> bool:
    return len(topics) >= len(wanted) and all(
        some is None or topic in some for topic, some in zip(topics, wanted, strict=False)
    )
