"""Real HTTP servers on loopback that serve a chain as Core's REST and as Esplora do.

What Esplora's index knows of scripts and transactions is in `tests/script_index.py`.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from embit.transaction import Transaction

from tests.regtest import RegtestChain
from tests.script_index import script_answer, spent_outputs

Route = Callable[[RegtestChain, str], tuple[int, bytes]]
Canned = tuple[int, dict[str, str], bytes]


@dataclass(slots=True)
class BlockServer:
    """A running server. `canned` answers a path instead of the chain; `asked` is what was asked."""

    url: str
    canned: dict[str, Canned] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def serve(chain: RegtestChain, route: Route) -> Iterator[BlockServer]:
    """Serve `chain` by `route` on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            server.asked.append(self.path)
            if self.path in server.canned:
                status, headers, body = server.canned[self.path]
            else:
                status, body = route(chain, self.path)
                headers = {}
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            if "Content-Length" in headers:  # a stated length that is a lie: end the answer here
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Stay quiet."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            # A client that hangs up in the middle, because the answer is too long, is meant here.
            if not isinstance(sys.exception(), OSError):
                super().handle_error(request, client_address)  # type: ignore[arg-type]

    httpd = Server(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    server = BlockServer(f"http://127.0.0.1:{httpd.server_address[1]}")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def core_rest(chain: RegtestChain, path: str) -> tuple[int, bytes]:
    """Bitcoin Core's REST answers, statuses and texts as doc/REST-interface.md has them."""
    if path == "/rest/chaininfo.json":
        info = {"chain": "regtest", "blocks": chain.height, "bestblockhash": chain.tip.hash.hex()}
        return 200, json.dumps(info).encode()
    if path.startswith("/rest/blockhashbyheight/") and path.endswith(".hex"):
        found = chain.block_hash(int(path.rpartition("/")[2].removesuffix(".hex")))
        if found is None:
            return 404, b"Block height out of range\r\n"
        return 200, found.hex().encode() + b"\n"
    if path.startswith("/rest/block/") and path.endswith(".bin"):
        name = path.rpartition("/")[2].removesuffix(".bin")
        try:
            return 200, chain.raw(bytes.fromhex(name))
        except KeyError:
            return 404, name.encode() + b" not found\r\n"
    return 404, b""


def core_rest_30(chain: RegtestChain, path: str) -> tuple[int, bytes]:
    """The same of Core 30, which also serves what a block spent (src/rest.cpp)."""
    if path.startswith("/rest/spenttxouts/") and path.endswith(".bin"):
        name = path.rpartition("/")[2].removesuffix(".bin")
        for height in range(chain.height + 1):
            if chain.block_hash(height) == bytes.fromhex(name):
                return 200, spent_outputs(chain, height)
        return 404, name.encode() + b" not found\r\n"
    return core_rest(chain, path)


def esplora(chain: RegtestChain, path: str) -> tuple[int, bytes]:
    """Esplora's answers, with an empty mempool."""
    return esplora_with(())(chain, path)


def esplora_with(mempool: Sequence[Transaction], *, limit: int = 500) -> Route:
    """Esplora with these unconfirmed transactions; it lists at most `limit` unspent outputs."""

    def route(chain: RegtestChain, path: str) -> tuple[int, bytes]:
        found = script_answer(chain, path, mempool, limit)
        return _esplora_blocks(chain, path) if found is None else found

    return route


def _esplora_blocks(chain: RegtestChain, path: str) -> tuple[int, bytes]:
    parts = path.strip("/").split("/")
    if path == "/blocks/tip/height":
        return 200, str(chain.height).encode()
    if parts[0] == "block-height":
        found = chain.block_hash(int(parts[1]))
        return (404, b"Block not found") if found is None else (200, found.hex().encode())
    if path == "/blocks/tip/hash":
        return 200, chain.tip.hash.hex().encode()
    if parts[0] == "block" and parts[2:] in (["raw"], ["header"]):
        try:
            raw = chain.raw(bytes.fromhex(parts[1]))
        except KeyError:
            return 404, b"Block not found"
        return 200, raw if parts[2] == "raw" else raw[:80].hex().encode()
    return 404, b"endpoint does not exist"
