"""A treasury followed by its extended key: every step a command, on the real fleet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from embit.bip32 import HDKey
from embit.networks import NETWORKS

from tests.block_servers import esplora, serve
from tests.fleet import Fleet
from tests.folders import passable_folder
from tests.regtest import RegtestChain, key

ACCOUNT = HDKey.from_seed(b"\x09" * 64).derive("m/84h/1h/0h")
XPUB = str(ACCOUNT.to_public(NETWORKS["regtest"]["xpub"]).to_base58())
COIN, FEE = 10**8, 1_000


@pytest.fixture
def folder() -> Iterator[Path]:
    with passable_folder() as made:
        yield made


def paid(chain: RegtestChain, *outputs: tuple[bytes, int]) -> int:
    """The height of a new block that pays these out of the oldest ripe reward."""
    reward = chain.coinbase(chain.height - 99)
    chain.mine(1, txs=[chain.spend(reward, outputs, change=chain.add_key(key(3)), fee=FEE)])
    return chain.height


@pytest.mark.timeout(300)
def test_an_extended_key_from_its_first_command_to_its_whole_history(folder: Path) -> None:
    chain = RegtestChain()
    first, last, change = (
        chain.add_key(ACCOUNT.derive(place).key) for place in ([0, 0], [0, 19], [1, 2])
    )
    heights = [paid(chain, (first, 3 * COIN)), paid(chain, (last, 2 * COIN), (change, COIN))]
    blocks = chain.write_folder(folder / "blocks")  # no limit of questions a second
    with serve(chain, esplora) as server:
        fleet = Fleet(
            folder,
            TRACKER_BITCOIN_NETWORK="regtest",
            TRACKER_BITCOIN_SOURCES=f"files:{blocks},esplora+{server.url}",
            TRACKER_BITCOIN_START_HEIGHT=str(chain.height),
            TRACKER_RECONCILE_POLL_SECONDS="3600",  # the command's own ring has to be answered
            TRACKER_BACKFILL_POLL_SECONDS="3600",
        )
        fleet.start()
        try:
            fleet.until(lambda: _chain(fleet)["height"] == chain.height, "the first block")
            fleet.run("entities", "add", "acme", "--name", "Acme", "--kind", "dat")
            (folder / "treasury.txt").write_text(f"wpkh({XPUB}/<0;1>/*)\n")
            added = fleet.run(
                "wallets", "add", "--entity", "acme", "--wait",
                "--descriptor", f"@{folder / 'treasury.txt'}",
            )  # fmt: skip
            assert XPUB not in str(added)
            assert _bitcoin(fleet)["amount"] == str(6 * COIN)
            # Index 19 was used, so the window reaches 20 further: this one is watched by now.
            beyond = chain.add_key(ACCOUNT.derive([0, 38]).key)
            heights.append(paid(chain, (beyond, 7 * COIN)))
            chain.write_folder(blocks)
            fleet.until(lambda: _bitcoin(fleet)["amount"] == str(13 * COIN), "a payment")

            chain.mine(100)  # the openings are final
            chain.write_folder(blocks)
            fleet.until(lambda: _chain(fleet)["height"] == chain.height, "its scan", 60)
            done = fleet.run("backfill", "start", "acme", "--from", str(heights[0]), "--follow")
            assert (done["state"], done["percent"]) == ("done", "100.0")
            moved = fleet.run("transfers", "acme")["items"]
            assert {item["height"] for item in moved} == set(heights)
            assert _bitcoin(fleet)["amount"] == str(13 * COIN)
            # Blocks below the first one scanned, known by the backfill alone.
            for height, amount in ((heights[0] - 1, 0), (heights[0], 3 * COIN)):
                then = _bitcoin(fleet, "--at", f"bitcoin:{height}")
                assert then["amount"] == str(amount), height

            asked = fleet.run("reconcile", "acme", "--wait", "30")
            done = asked["request"]["answer"]["bitcoin"]
            assert done["agreed"] == done["probed"] == len(asked["wallets"]) > 60
            assert fleet.run("discrepancies", "acme")["items"] == []
            assert {item["state"] for item in fleet.run("sources")["items"]} == {"ok"}
        finally:
            assert fleet.stop() == 0


def _chain(fleet: Fleet) -> dict[str, object]:
    found: dict[str, object] = fleet.run("chains")["items"][0]
    return found


def _bitcoin(fleet: Fleet, *more: str) -> dict[str, object]:
    assets = fleet.run("holdings", "acme", *more)["assets"]
    [found] = [item["onchain"] for item in assets if item["asset"] == "BTC"]
    return dict(found)
