"""A JSON-RPC proxy before a real node: it adds the withdrawals that anvil cannot make, and lies.

A block with withdrawals keeps its hash, which therefore does not verify any more: read such chains
as those of a trusted node.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from tests.anvil import GWEI, Anvil
from tests.rpc_lies import Lies

_WEB_PAGE = b"<html><body><h1>Service unavailable</h1></body></html>"


@dataclass(slots=True)
class RpcProxy:
    """A running proxy. `asked` is what came, call by call; `lies` may be changed at any time."""

    url: str
    backends: list[str]
    lies: Lies = field(default_factory=Lies)
    asked: list[tuple[str, list[Any]]] = field(default_factory=list)
    posts: int = 0  # a batch counts once
    _withdrawals: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    _next_index: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _session: requests.Session = field(default_factory=requests.Session)

    def withdraw(
        self, node: Anvil, *payments: tuple[str, int, int], mine: bool = True
    ) -> dict[str, Any]:
        """Pay `(address, gwei, validator index)`… in a new block, or in the newest; that block.

        Who asks through this proxy sees the block with its withdrawals and the balances raised, or
        not at all; who asks the node sees the balances only.
        """
        with self._lock:
            if mine:
                node.mine()
            block = node.block()
            entries = self._withdrawals.setdefault(block["hash"], [])
            for address, gwei, validator in payments:
                node.set_balance(address, node.balance(address) + gwei * GWEI)
                entries.append({
                    "index": hex(self._next_index), "validatorIndex": hex(validator),
                    "address": address.lower(), "amount": hex(gwei),
                })
                self._next_index += 1
            return self._with_withdrawals(block)

    def answer(self, body: bytes) -> bytes:
        """The reply to the body of a request: a call, or a batch of them."""
        asked = json.loads(body)
        calls = asked if isinstance(asked, list) else [asked]
        turn = self.posts if self.lies.flapping else 0
        backend = self.backends[turn % len(self.backends)]
        self.posts += 1
        with self._lock:
            replies = [self._reply(backend, call) for call in calls]
        return json.dumps(replies if isinstance(asked, list) else replies[0]).encode()

    def _reply(self, backend: str, call: dict[str, Any]) -> dict[str, Any]:
        method, params = call["method"], call.get("params", [])
        self.asked.append((method, params))

        def ask(method: str, params: list[Any]) -> dict[str, Any]:
            task = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            reply = self._session.post(backend, json=task, timeout=60).json()
            return {name: reply[name] for name in ("result", "error") if name in reply}

        reply = self.lies.answer(ask, method, params)
        if method in ("eth_getBlockByNumber", "eth_getBlockByHash") and reply.get("result"):
            reply = {"result": self._with_withdrawals(reply["result"])}
        return {"jsonrpc": "2.0", "id": call.get("id"), **reply}

    def _with_withdrawals(self, block: dict[str, Any]) -> dict[str, Any]:
        added = self._withdrawals.get(block["hash"])
        return block if added is None else {**block, "withdrawals": added}


@contextmanager
def proxying(*backends: Anvil | str, lies: Lies | None = None) -> Iterator[RpcProxy]:
    """Run a proxy before these nodes (or their URLs) until the block ends."""
    stopping = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            lies = proxy.lies
            asked = json.loads(body)
            calls = asked if isinstance(asked, list) else [asked]
            fails = lies.fails([call["method"] for call in calls])
            if fails:
                stopping.wait(lies.delay)
            if fails and lies.retry_after is not None:
                limit = b'{"jsonrpc":"2.0","id":null,"error":{"code":429,"message":"rate limited"}}'
                self._send(429, limit, {"Retry-After": lies.retry_after})
            elif fails and lies.status is not None:
                self._send(lies.status, _WEB_PAGE, {"Content-Type": "text/html"})
            else:
                self._send_answer(body, lies if fails else Lies())

        def _send_answer(self, body: bytes, lies: Lies) -> None:
            try:
                content = proxy.answer(body)
            except requests.RequestException:  # the node behind is gone, which some tests are about
                self._send(502, b"bad gateway", {})
                return
            half = content[:len(content) // 2]
            if lies.cut:
                self._send(200, half, {"Content-Length": str(len(content))})
                self.close_connection = True
            else:
                self._send(200, half if lies.cut_unsaid else content, {})

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            wanted = {
                "Content-Type": "application/json", "Content-Length": str(len(body)), **headers,
            }
            for name, value in wanted.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            # A client that gives up on a slow answer is meant here.
            if not isinstance(sys.exception(), OSError):
                super().handle_error(request, client_address)  # type: ignore[arg-type]

    server = Server(("127.0.0.1", 0), Handler)
    urls = [node.url if isinstance(node, Anvil) else node for node in backends]
    proxy = RpcProxy(f"http://127.0.0.1:{server.server_address[1]}", urls, lies or Lies())
    proxy._session.trust_env = False  # a proxy of the environment has no business with loopback
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()
        proxy._session.close()
