"""One Bitcoin block's news by asking each address, beside reading the block.

`python -m tests.bench.polling`. A loopback server answers `/address/:a` in Esplora's shape and
serves real block 866342 raw; what is compared is calls, bytes and seconds, not the server, which
answers from memory.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

from tests.recorded_blocks import raw_block
from tracker.chains.bitcoin.block import scan

HEIGHT = 866342
COUNTS = (10, 1_000)
EXTRAPOLATED = 100_000


def main() -> None:
    """Serve, ask both ways, print."""
    raw = raw_block(HEIGHT)
    stats = {
        "funded_txo_count": 7, "funded_txo_sum": 21556930, "spent_txo_count": 5,
        "spent_txo_sum": 13557524, "tx_count": 8,
    }  # fmt: skip
    answer = json.dumps(
        {"address": "bc1q" + "q" * 38, "chain_stats": stats, "mempool_stats": stats}
    ).encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65_536  # one packet an answer: else each waits for the client's delayed ACK

        def do_GET(self) -> None:
            body = raw if self.path.startswith("/block/") else answer
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    session = requests.Session()
    session.trust_env = False
    base = f"http://127.0.0.1:{server.server_port}"
    block_times = []
    for _ in range(10):
        started = time.perf_counter()
        scan(session.get(f"{base}/block/x/raw", timeout=20).content, frozenset(), frozenset())
        block_times.append(time.perf_counter() - started)
    block = min(block_times)
    print(f"block fetched and scanned, any number of addresses: 1 call, {len(raw):,} bytes, "
          f"{block:.4f} s")  # fmt: skip
    for count in COUNTS:
        started = time.perf_counter()
        size = sum(
            len(session.get(f"{base}/address/{number}", timeout=20).content)
            for number in range(count)
        )
        seconds = time.perf_counter() - started
        print(f"Esplora /address, {count:,} addresses: {count:,} calls, {size:,} bytes, "
              f"{seconds:.3f} s, {seconds / block:.1f}x the block")  # fmt: skip
    whole = seconds / COUNTS[-1] * EXTRAPOLATED
    print(f"Esplora /address, {EXTRAPOLATED:,} addresses (from {COUNTS[-1]:,}): "
          f"{EXTRAPOLATED:,} calls, {len(answer) * EXTRAPOLATED:,} bytes, {whole:.0f} s, "
          f"{whole / block:.0f}x the block; at a public server's 10 calls a second "
          f"{EXTRAPOLATED / 10 / 3600:.1f} h; and no transaction")  # fmt: skip
    server.shutdown()


if __name__ == "__main__":
    main()
