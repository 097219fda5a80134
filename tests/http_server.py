"""A real HTTP server on a free port of 127.0.0.1 that answers what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Response:
    """A status, a body (an object is sent as JSON) and what else a server may do."""

    body: object = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0  # seconds between bytes

    @property
    def content(self) -> bytes:
        """The bytes of the body."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Answer = Callable[[str, dict[str, str]], Response]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """The base URL of a server that gives `answer(path, query)` to every GET."""
    stopping = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            response = answer(parts.path, dict(parse_qsl(parts.query)))
            stopping.wait(response.delay)
            try:
                self.send_response(response.status)
                for name, value in response.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(response.content)))
                self.end_headers()
                if response.drip:
                    for byte in response.content:
                        self.wfile.write(bytes([byte]))
                        if stopping.wait(response.drip):
                            return
                else:
                    self.wfile.write(response.content)
            except (BrokenPipeError, ConnectionResetError):
                return  # the client gave up, which is what some tests are about

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
