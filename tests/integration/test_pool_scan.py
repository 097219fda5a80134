"""Real blocks and a real scan through pools whose servers forge, limit, stand still and flap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.block_servers import esplora, serve
from tests.recorded_blocks import first_blocks, raw_block
from tests.scene import Scene, second
from tracker.chains.bitcoin.block import scan
from tracker.chains.bitcoin.sources import open_source
from tracker.chains.limits import UNLIMITED
from tracker.chains.pool import BitcoinPool
from tracker.config import Settings
from tracker.doorbell import Silent
from tracker.errors import InvalidBlockError
from tracker.scanning.bitcoin import BitcoinScan

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Recorded:
    """Blocks by height, for a server to show."""

    raws: dict[int, bytes]
    height: int

    def __post_init__(self) -> None:
        self.hashes = {at: scan(raw, (), ()).header.hash for at, raw in self.raws.items()}
        self.by_hash = {block_hash: self.raws[at] for at, block_hash in self.hashes.items()}

    def block_hash(self, height: int) -> bytes | None:
        return self.hashes.get(height) if height <= self.height else None

    def raw(self, block_hash: bytes) -> bytes:
        return self.by_hash[block_hash]


def test_the_first_real_blocks_come_whole_through_forgers_and_limits() -> None:
    """One server forges every seventh block, one breaks off and limits, and one is late."""
    raws = dict(enumerate(first_blocks()[:80]))
    honest = Recorded(raws, len(raws) - 1)
    settings = Settings(bitcoin_network="mainnet", http_timeout_seconds=5)
    with ExitStack() as stack:
        servers = [stack.enter_context(serve(honest, esplora)) for _ in range(3)]
        for height, block_hash in honest.hashes.items():
            path = f"/block/{block_hash.hex()}/raw"
            raw = raws[height]
            if height % 7 == 0:
                servers[0].canned[path] = (200, {}, raw[:-1] + bytes([raw[-1] ^ 1]))
            if height % 11 == 0:
                servers[1].canned[path] = (200, {"Content-Length": "9999"}, raw)
            elif height % 13 == 0:
                servers[1].canned[path] = (429, {"Retry-After": "20"}, b"")
        now = [START]
        pool = BitcoinPool(
            [open_source(f"esplora+{server.url}", settings) for server in servers],
            network="mainnet", now=lambda: now[0], rate=lambda _: UNLIMITED,
        )
        parent, refused, asked_of = bytes(32), 0, set()
        for height in range(pool.tip().height + 1):
            while True:
                found = pool.block_hash(height)
                assert found is not None
                raw = pool.block(found)
                try:
                    scanned = scan(raw, (), (), verify=True)
                except InvalidBlockError as error:
                    pool.accuse(found, error)
                    refused += 1
                    continue
                break
            assert raw == raws[height]
            assert scanned.header.parent == parent
            parent = found
            asked_of.add(pool.served_by(found))
            now[0] += timedelta(seconds=30)
            pool.tip()
        assert refused > 0
        assert len(asked_of) == 3
        assert {state.state for state in pool.states()} <= {"ok", "lying", "paused", "unreachable"}


@pytest.mark.parametrize("height", [300025, 482683, 866342])
def test_a_real_block_comes_whole_and_is_one_of_two_that_agree(height: int) -> None:
    shown = Recorded({height: raw_block(height)}, height)
    block_hash = shown.hashes[height]
    genesis = first_blocks()[0]
    shown.hashes[0] = scan(genesis, (), ()).header.hash
    settings = Settings(bitcoin_network="mainnet", http_timeout_seconds=10)
    with serve(shown, esplora) as first, serve(shown, esplora) as other:
        pool = BitcoinPool(
            [open_source(f"esplora+{server.url}", settings) for server in (first, other)],
            network="mainnet",
        )
        assert pool.tip().hash == block_hash
        assert pool.block(block_hash) == raw_block(height)
        assert (found := pool.agreement(height, block_hash)).agree == found.asked == 2


@dataclass
class Branch:
    """A server's view of the scene's chain: one branch of it, up to a height."""

    scene: Scene
    hashes: list[bytes]

    @property
    def height(self) -> int:
        return len(self.hashes) - 1

    def block_hash(self, height: int) -> bytes | None:
        return self.hashes[height] if height <= self.height else None

    def raw(self, block_hash: bytes) -> bytes:
        return self.scene.chain.raw(block_hash)


@pytest.fixture
def scene(postgres_url: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(postgres_url, tmp_path)
    yield made
    made.database.dispose()


def test_a_scan_over_flapping_sources_rolls_back_once_for_the_longer_branch(scene: Scene) -> None:
    """Two branches of one height, shown by turns by one server and steadily by another."""
    chain = scene.chain
    chain.mine(1, txs=[scene.sell()])
    ours = [chain.at(height).hash for height in range(chain.height + 1)]
    chain.fork(chain.height - 1)
    theirs = [*ours[:-1], chain.mine(1, to=second())[0].hash]
    views = [Branch(scene, ours), Branch(scene, theirs)]
    settings = Settings(bitcoin_network="regtest", http_timeout_seconds=5)
    with serve(views[0], esplora) as first, serve(views[1], esplora) as other:
        now = [START]
        pool = BitcoinPool(
            [open_source(f"esplora+{server.url}", settings) for server in (first, other)],
            network="regtest", now=lambda: now[0], rate=lambda _: UNLIMITED,
        )
        scanner = BitcoinScan(scene.database, pool, scene.settings, Silent(), scene.now)
        while scanner.tick().more:
            pass
        ledger = scene.ledger()
        for turn in range(30):
            views[0].hashes = theirs if turn % 2 else ours
            views[1].hashes = ours[:-1] if turn % 3 else theirs
            now[0] += timedelta(seconds=10)
            assert scanner.tick().orphaned == 0
        assert scene.ledger() == ledger
        chain.mine(1, to=second())
        theirs = [*theirs, chain.tip.hash]
        orphaned = 0
        for turn in range(10):
            views[0].hashes = ours if turn % 2 else theirs
            views[1].hashes = theirs
            now[0] += timedelta(seconds=10)
            orphaned += scanner.tick().orphaned
        assert orphaned == 1
        assert [alert.status for alert in scene.alerts()] == ["retracted"]
