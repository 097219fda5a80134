"""Debian's litecoind on regtest: a real node with Bitcoin Core's own RPC and REST code.

Its block format, hashes and interfaces are Bitcoin's; its first block, address prefixes and proof
of work (scrypt) are not. The MWEB deployment is switched off, because mining stops at block 431
otherwise. Work in scripts, and do not check proof of work here.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Node:
    """A running node: where it listens, and its cookie file."""

    port: int
    cookie: Path

    @property
    def url(self) -> str:
        """The URL without credentials."""
        return f"http://127.0.0.1:{self.port}"

    def rpc(self, method: str, *params: Any) -> Any:
        """Call the node as its cookie's user; raises `AssertionError` with the node's words."""
        user, _, password = self.cookie.read_text().partition(":")
        reply = requests.post(
            self.url, json={"id": 1, "method": method, "params": params}, auth=(user, password),
            timeout=30,
        )
        answer = reply.json()
        assert answer["error"] is None, answer["error"]
        return answer["result"]


def binary() -> str:
    """The program. Where it is not installed, the test is skipped, or fails where CI=true."""
    found = shutil.which("litecoind")
    if found is None:
        reason = "litecoind is not installed (Debian: apt-get install litecoind)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@contextmanager
def run(folder: Path, *, rest: bool) -> Iterator[Node]:
    """Run a node with its data in `folder` until the block ends; `rest` switches REST on."""
    program = binary()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            program, "-regtest", "-server", f"-rest={int(rest)}", "-txindex", f"-datadir={folder}",
            f"-rpcport={port}", "-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1", "-listen=0",
            "-connect=0", "-dnsseed=0", "-fallbackfee=0.0001", "-printtoconsole=0",
            "-vbparams=mweb:9999999999:9999999999",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    node = Node(port, folder / "regtest" / ".cookie")
    try:
        _wait(node, process)
        yield node
    finally:
        # Asked to end, it waits 20 s for the clients' kept connections; its data is thrown away.
        process.kill()
        process.wait()


def _wait(node: Node, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"litecoind ended with status {process.returncode}")
        try:
            node.rpc("getblockcount")
        except (OSError, AssertionError, requests.RequestException):
            time.sleep(0.05)
        else:
            return
    raise AssertionError("litecoind was not ready in time")
