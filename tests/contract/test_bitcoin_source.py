"""What every Bitcoin source does, whatever is behind it: one suite, all adapters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests import litecoind
from tests.block_servers import core_rest, esplora, serve
from tests.regtest import RegtestChain
from tracker.chains.bitcoin.block import scan
from tracker.chains.bitcoin.sources import open_source
from tracker.chains.port import BitcoinSource
from tracker.config import Settings
from tracker.domain.chain import BlockRef, fork_point
from tracker.errors import NotFoundError

SETTINGS = Settings(bitcoin_network="regtest", http_timeout_seconds=10)


class Chain(Protocol):
    """The truth behind a source."""

    def height(self) -> int: ...
    def hash_at(self, height: int) -> bytes: ...
    def raw(self, block_hash: bytes) -> bytes: ...
    def mine(self, n: int) -> None: ...
    def reorganise(self, depth: int) -> None: ...


@dataclass(slots=True)
class KernelChain:
    """A chain of the kernel, written to a folder after each change where a source reads one."""

    chain: RegtestChain
    folder: Path | None = None
    form: str = "raw"

    def height(self) -> int:
        return self.chain.height

    def hash_at(self, height: int) -> bytes:
        return self.chain.at(height).hash

    def raw(self, block_hash: bytes) -> bytes:
        return self.chain.raw(block_hash)

    def mine(self, n: int) -> None:
        self.chain.mine(n)
        self.write()

    def reorganise(self, depth: int) -> None:
        self.chain.fork(self.chain.height - depth)
        self.chain.mine(depth + 1)
        self.write()

    def write(self) -> None:
        if self.folder is not None:
            self.chain.write_folder(self.folder, form=self.form)


@dataclass(slots=True)
class NodeChain:
    """The chain of a real node."""

    node: litecoind.Node

    def height(self) -> int:
        return int(self.node.rpc("getblockcount"))

    def hash_at(self, height: int) -> bytes:
        return bytes.fromhex(self.node.rpc("getblockhash", height))

    def raw(self, block_hash: bytes) -> bytes:
        return bytes.fromhex(self.node.rpc("getblock", block_hash.hex(), 0))

    def mine(self, n: int) -> None:
        self._generate(n, "51")

    def reorganise(self, depth: int) -> None:
        first = self.hash_at(self.height() - depth + 1)
        self.node.rpc("invalidateblock", first.hex())
        self._generate(depth + 1, "52")  # another script: the same one would make the same block

    def _generate(self, n: int, script: str) -> None:
        self.node.rpc("generatetodescriptor", n, _checked(self.node, f"raw({script})"))


def _checked(node: litecoind.Node, descriptor: str) -> str:
    info: dict[str, Any] = node.rpc("getdescriptorinfo", descriptor)
    return str(info["descriptor"])


@contextmanager
def _world(kind: str, folder: Path) -> Iterator[tuple[BitcoinSource, Chain]]:
    if kind.startswith("files"):
        chain = KernelChain(RegtestChain(mature=False), folder / "blocks", kind.partition("-")[2])
        chain.mine(6)
        yield open_source(f"files:{chain.folder}", SETTINGS), chain
    elif kind in ("core-over-kernel", "esplora-over-kernel"):
        chain = KernelChain(RegtestChain(mature=False))
        chain.mine(6)
        rest = kind.startswith("core")
        with serve(chain.chain, core_rest if rest else esplora) as server:
            yield open_source(f"{'core' if rest else 'esplora'}+{server.url}", SETTINGS), chain
    else:
        with litecoind.run(folder, rest=kind.endswith("rest")) as node:
            NodeChain(node).mine(6)
            spec = f"core+{node.url}?cookie={node.cookie}"
            yield open_source(spec, SETTINGS), NodeChain(node)


@pytest.fixture(
    params=[
        "files-raw", "files-hex", "files-raw.gz", "core-over-kernel", "esplora-over-kernel",
        "core-node-rest", "core-node-rpc",
    ]
)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[BitcoinSource, Chain]]:
    with _world(request.param, tmp_path) as found:
        yield found


World = tuple[BitcoinSource, Chain]


def test_reads_the_whole_chain_as_bytes_that_link(world: World) -> None:
    source, chain = world
    tip = source.tip()
    assert (tip.height, tip.hash) == (chain.height(), chain.hash_at(chain.height()))
    parent: bytes | None = None
    for height in range(tip.height + 1):
        found = source.block_hash(height)
        assert found == chain.hash_at(height)
        raw = source.block(found)
        assert raw == chain.raw(found)
        block = scan(raw, set(), set(), verify=True)
        assert block.header.hash == found
        assert parent is None or block.header.parent == parent
        if height:
            assert block.height == height
        parent = found


def test_knows_nothing_above_its_tip_nor_of_foreign_blocks(world: World) -> None:
    source, chain = world
    assert source.block_hash(chain.height() + 1) is None
    with pytest.raises(NotFoundError) as caught:
        source.block(bytes(range(32)))
    assert caught.value.value == bytes(range(32)).hex()


def test_follows_new_blocks(world: World) -> None:
    source, chain = world
    before = source.tip()
    chain.mine(2)
    after = source.tip()
    assert after.height == before.height + 2
    assert after.hash == chain.hash_at(after.height)
    assert source.block_hash(after.height - 1) == chain.hash_at(after.height - 1)


def test_follows_a_reorganisation_and_lets_its_fork_point_be_found(world: World) -> None:
    source, chain = world
    tip = source.tip()
    local: list[BlockRef] = []
    for height in range(tip.height + 1):
        found = source.block_hash(height)
        assert found is not None
        header = scan(source.block(found), set(), set()).header
        local.append(BlockRef(height, found, header.parent, header.time))
    chain.reorganise(2)
    new = source.tip()
    assert new.height == tip.height + 1
    assert source.block_hash(tip.height) not in (None, tip.hash)
    assert fork_point(local, source.block_hash) == local[-3]


def test_names_itself_without_secrets_and_tells_its_network(world: World) -> None:
    source, _ = world
    assert source.kind in source.name
    assert "@" not in source.name
    assert "cookie" not in source.name
    network = source.network()
    # litecoind's chain is none of Bitcoin's, and is said to be none.
    assert network == "regtest" or (network is not None and network.startswith("another chain"))
