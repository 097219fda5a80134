"""A real Ethereum node for a test: anvil on a free port, with our contracts at hand.

Its first block has a fixed time and each next block is 12 seconds later, so the same steps make the
same hashes in every run. It signs for its own accounts, so that their blocks verify whole; what
others send is taken without a signature. Transactions are mined in the order of their coming.

What to know of it (1.7.1):
- `finalized` and `safe` lag the tip by 64 and 32 blocks, and stay at block 0 until then.
- What `set_balance` and the other setters change is changed in the newest block, after its
  transactions; the blocks below keep what they had.
- A reorganisation forgets the old blocks, their transactions and older snapshots at once, where
  other nodes still answer orphaned blocks by hash.
- `trace_block` takes numbers and tags, no hash. It marks only the frame that failed; the frames
  below it look as if they had happened.
- No block has withdrawals: tests/withdrawals.py adds them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.solidity import Artifact, artifact

READY_SECONDS = 20.0
GENESIS_TIME = 1_735_689_600  # 1 January 2025, 00:00 UTC
BLOCK_SECONDS = 12
GAS = 3_000_000  # stated, not estimated: a transaction that fails is mined too
ETHER = 10**18
GWEI = 10**9

MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11"
WETH = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
DEPOSIT_CONTRACT = "0x00000000219ab540356cbb839cbe05303d7705fa"
CANONICAL = {MULTICALL3: "Multicall", WETH: "Weth", DEPOSIT_CONTRACT: "DepositContract"}

_LISTENING = re.compile(r"Listening on 127\.0\.0\.1:(\d+)")
_session = requests.Session()
_session.trust_env = False  # a proxy of the environment has no business with loopback

Block = int | str  # a number, or a tag such as "latest"


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract at an address of a node, called by the names of its functions."""

    node: Anvil
    artifact: Artifact
    address: str

    def data(self, function: str, *arguments: object) -> str:
        """The data of a call."""
        return self.artifact.data(function, *arguments)

    def call(
        self, function: str, *arguments: object, block: Block = "latest", sender: str | None = None
    ) -> Any:
        """What the function returns at `block`, without a transaction."""
        reply = self.node.call(
            self.address, self.data(function, *arguments), block=block, sender=sender
        )
        return self.artifact.decoded(function, reply)

    def send(
        self, function: str, *arguments: object, sender: str | None = None, value: int = 0
    ) -> str:
        """The hash of a transaction that calls the function."""
        return self.node.send(sender, self.address, value, self.data(function, *arguments))


@dataclass(slots=True)
class Anvil:
    """A running node: where it listens, its chain, its funded accounts (lower case)."""

    url: str
    chain_id: int
    accounts: list[str] = field(default_factory=list)
    automine: bool = True

    def rpc(self, method: str, *params: Any) -> Any:
        """The result of a call; raises `AssertionError` with the node's words."""
        task = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = _session.post(self.url, json=task, timeout=60).json()
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    # Blocks

    @property
    def height(self) -> int:
        """The number of the newest block."""
        return int(self.rpc("eth_blockNumber"), 16)

    def mine(self, count: int = 1, interval: int = BLOCK_SECONDS) -> int:
        """Mine `count` blocks, `interval` seconds apart; the new height."""
        self.rpc("anvil_mine", hex(count), hex(interval))
        return self.height

    @contextmanager
    def one_block(self) -> Iterator[None]:
        """What is sent inside is mined as one block, in that order, at the end."""
        self.rpc("evm_setAutomine", False)
        self.automine = False
        try:
            yield
            self.rpc("anvil_mine", "0x1", hex(BLOCK_SECONDS))
        finally:
            self.rpc("evm_setAutomine", True)
            self.automine = True

    def reorg(self, depth: int, *transactions: tuple[dict[str, Any], int]) -> int:
        """Replace the last `depth` blocks by as many new ones; their height.

        Each of `transactions` is a request (see `request`) and the place of its block among the new
        ones, from 0. What the old blocks held is gone for good.
        """
        self.rpc("anvil_reorg", depth, [[request, place] for request, place in transactions])
        return self.height

    def set_next_time(self, timestamp: int) -> None:
        """The time of the next block, in seconds since 1970."""
        self.rpc("evm_setNextBlockTimestamp", timestamp)

    def snapshot(self) -> str:
        """A mark that `revert` goes back to, once."""
        return str(self.rpc("evm_snapshot"))

    def revert(self, mark: str) -> None:
        """Go back to a mark; one from before a reorganisation fails and ruins the node."""
        assert self.rpc("evm_revert", mark) is True

    def block(self, number: Block = "latest", *, full: bool = True) -> dict[str, Any]:
        """A block with its transactions whole, or with their hashes."""
        found = self.rpc("eth_getBlockByNumber", _named(number), full)
        assert found is not None, f"there is no block {number}"
        return dict(found)

    def receipts(self, number: Block = "latest") -> list[dict[str, Any]]:
        """The receipts of a block."""
        return list(self.rpc("eth_getBlockReceipts", _named(number)))

    def receipt(self, tx: str) -> dict[str, Any]:
        """The receipt of a mined transaction."""
        found = self.rpc("eth_getTransactionReceipt", tx)
        assert found is not None, f"{tx} is not mined"
        return dict(found)

    def traces(self, number: Block = "latest") -> list[dict[str, Any]]:
        """The flat traces of a block, those of failed frames among them."""
        return list(self.rpc("trace_block", _named(number)))

    # Accounts

    def balance(self, address: str, number: Block = "latest") -> int:
        """The wei of an address, at a block."""
        return int(self.rpc("eth_getBalance", address, _named(number)), 16)

    def set_balance(self, address: str, wei: int) -> None:
        """Set the wei of an address in the newest block, without a transaction."""
        self.rpc("anvil_setBalance", address, hex(wei))

    def set_fee_recipient(self, address: str) -> None:
        """Who is paid the tips of the coming blocks."""
        self.rpc("anvil_setCoinbase", address)

    def place(self, name: str, address: str) -> Contract:
        """Put a contract's code at an address. No constructor runs, and its storage is empty."""
        found = artifact(name)
        self.rpc("anvil_setCode", address, found.deployed)
        return Contract(self, found, address.lower())

    def place_canonical(self) -> dict[str, Contract]:
        """Multicall3, WETH and the deposit contract put at their addresses of mainnet."""
        return {address: self.place(name, address) for address, name in CANONICAL.items()}

    def at(self, name: str, address: str) -> Contract:
        """A contract that is at `address`, called by the interface `name`."""
        return Contract(self, artifact(name), address.lower())

    # Transactions

    def request(
        self, sender: str | None, to: str | None, value: int = 0, data: str = "0x", *,
        gas: int = GAS, **fields: str,
    ) -> dict[str, Any]:
        """A transaction request; `sender` None is the first account, `to` None creates."""
        wanted = {
            "from": sender or self.accounts[0], "to": to, "value": hex(value), "data": data,
            "gas": hex(gas), **fields,
        }
        return {name: text for name, text in wanted.items() if text is not None}

    def send(
        self, sender: str | None, to: str | None, value: int = 0, data: str = "0x", *,
        gas: int = GAS, **fields: str,
    ) -> str:
        """The hash of a transaction by anybody who can pay for it.

        It is mined on return, failed or not, in a block of its own; inside `one_block`, with the
        others at its end. `fields` are further fields of the request (`nonce`, `gasPrice`, …).
        """
        request = self.request(sender, to, value, data, gas=gas, **fields)
        if request["from"].lower() not in self.accounts:
            self.rpc("anvil_impersonateAccount", request["from"])
        tx = str(self.rpc("eth_sendTransaction", request))
        deadline = time.monotonic() + READY_SECONDS
        while self.automine and self.rpc("eth_getTransactionReceipt", tx) is None:
            assert time.monotonic() < deadline, f"{tx} was not mined"
            time.sleep(0.002)
        return tx

    def deploy(
        self, name: str, *arguments: object, sender: str | None = None, value: int = 0
    ) -> Contract:
        """A new contract from tests/contracts, mined."""
        found = artifact(name)
        receipt = self.receipt(
            self.send(sender, None, value, found.creation(*arguments), gas=2 * GAS)
        )
        assert receipt["status"] == "0x1", f"the constructor of {name} failed"
        return Contract(self, found, receipt["contractAddress"].lower())

    def call(
        self, to: str, data: str = "0x", *, block: Block = "latest", sender: str | None = None
    ) -> str:
        """What a call returns at a block, in hex."""
        request = {"to": to, "data": data, "from": sender or self.accounts[0]}
        return str(self.rpc("eth_call", request, _named(block)))


def binary() -> str:
    """The program. Where it is not installed, the test is skipped, or fails where CI=true."""
    own = Path(sys.prefix) / "bin" / "anvil"
    found = str(own) if os.access(own, os.X_OK) else shutil.which("anvil")
    if found is None:
        reason = "anvil is not installed (.venv/bin/python deploy/get-anvil)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@contextmanager
def run(*, chain_id: int = 31337, options: Sequence[str] = ()) -> Iterator[Anvil]:
    """Run a node until the block ends; `options` are further ones of its command line."""
    program = binary()
    with tempfile.TemporaryDirectory(prefix="tracker-anvil-") as name:
        output = Path(name) / "output"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [
                    program, "--port", "0", "--chain-id", str(chain_id), "--steps-tracing",
                    "--order", "fifo", "--timestamp", str(GENESIS_TIME), *options,
                ],
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                env={"HOME": name, "PATH": os.defpath},  # it keeps a folder of its own in HOME
            )
        try:
            node = Anvil(f"http://127.0.0.1:{_port(process, output)}", chain_id)
            node.accounts = [address.lower() for address in node.rpc("eth_accounts")]
            node.rpc("anvil_setBlockTimestampInterval", BLOCK_SECONDS)
            yield node
        finally:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], output: Path) -> int:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if found := _LISTENING.search(output.read_text(errors="replace")):
            return int(found[1])
        if process.poll() is not None:
            break
        time.sleep(0.005)
    raise AssertionError(f"anvil did not start:\n{output.read_text(errors='replace')[-2000:]}")


def _named(number: Block) -> str:
    return hex(number) if isinstance(number, int) else number
