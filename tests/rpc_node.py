"""A JSON-RPC server on loopback that answers as a Bitcoin Core node of any version would."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tracker.chains.http import HttpClient


class RpcError(Exception):
    """What the node answers with instead of a result."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.body = {"code": code, "message": message}


@dataclass(slots=True)
class RpcNode:
    """A running server; `asked` are the calls that came, in order."""

    url: str
    asked: list[tuple[str, list[Any]]] = field(default_factory=list)

    def client(self, seconds: float = 10.0) -> HttpClient:
        return HttpClient(
            self.url, timeout_seconds=seconds, user_agent="test", field="TRACKER_BITCOIN_SOURCES",
            auth=("user", "unused"),
        )


@contextmanager
def rpc_node(answer: Callable[[str, list[Any]], Any]) -> Iterator[RpcNode]:
    """Serve `answer(method, params)`, a result or a raised `RpcError`; REST is off."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(404, b"")

        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            node.asked.append((call["method"], call["params"]))
            try:
                body = {"result": answer(call["method"], call["params"]), "error": None}
                status = 200
            except RpcError as error:
                body, status = {"result": None, "error": error.body}, 500
            self._reply(status, json.dumps(body).encode())

        def _reply(self, status: int, body: bytes) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                return  # the client gave up waiting, which is what some tests are about

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    node = RpcNode(f"http://127.0.0.1:{httpd.server_address[1]}")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield node
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
