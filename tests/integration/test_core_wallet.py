"""Snapshots, senders, descriptors and cookies against a real node with Bitcoin Core's code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from embit.bip32 import HDKey
from embit.networks import NETWORKS

from tests import litecoind
from tracker.chains.bitcoin.block import read_block
from tracker.chains.bitcoin.core import CoreSource, read_cookie
from tracker.chains.bitcoin.descriptor import Descriptor
from tracker.chains.bitcoin.enrich import senders
from tracker.chains.bitcoin.rpc import satoshi
from tracker.chains.bitcoin.sources import open_source
from tracker.chains.http import HttpClient
from tracker.chains.port import SenderSource, SnapshotSource
from tracker.config import Settings
from tracker.domain.match import Coin, ScannedTx, outpoint_of
from tracker.errors import ConfigError

SETTINGS = Settings(bitcoin_network="regtest", http_timeout_seconds=10)
ANYONE, NOBODY, ABSENT = b"\x51", b"\x52", b"\x53"  # OP_1, OP_2, OP_3 as scripts


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[litecoind.Node]:
    """A node with a wallet, 110 blocks, and one transaction of many inputs in the newest."""
    with litecoind.run(tmp_path_factory.mktemp("node"), rest=True) as running:
        running.rpc("createwallet", "w")
        mine(running, 3, f"raw({NOBODY.hex()})")
        for kind in ("legacy", "p2sh-segwit", "bech32"):
            running.rpc("generatetoaddress", 2, running.rpc("getnewaddress", "", kind))
        mine(running, 100, f"raw({ANYONE.hex()})")
        running.rpc("sendtoaddress", running.rpc("getnewaddress"), 280)
        mine(running, 1, f"raw({NOBODY.hex()})")
        yield running


def mine(node: litecoind.Node, count: int, descriptor: str) -> None:
    checked = node.rpc("getdescriptorinfo", descriptor)["descriptor"]
    node.rpc("generatetodescriptor", count, checked)


def source(node: litecoind.Node, *, credentials: bool = True) -> CoreSource:
    def connect() -> HttpClient:
        return HttpClient(
            node.url, timeout_seconds=10, user_agent="test", field="TRACKER_BITCOIN_SOURCES",
            auth=read_cookie(str(node.cookie)) if credentials else None,
        )

    return CoreSource(connect, poll_seconds=0.01)


def test_a_snapshot_is_the_node_s_own_set_of_coins(node: litecoind.Node) -> None:
    told: list[float] = []
    found = source(node).snapshot([ANYONE, NOBODY, ABSENT], told.append)
    tip = node.rpc("getblockcount")
    assert found.tip.height == tip
    assert found.tip.hash.hex() == node.rpc("getbestblockhash")
    assert {script: len(coins) for script, coins in found.coins.items()} == {
        ANYONE: 100, NOBODY: 4, ABSENT: 0,
    }
    for script, coins in found.coins.items():
        for coin in coins:
            txid, index = coin.outpoint[31::-1].hex(), int.from_bytes(coin.outpoint[32:], "little")
            seen = node_out(node, txid, index)
            assert seen["scriptPubKey"]["hex"] == script.hex()
            assert round(seen["value"] * 10**8) == coin.amount
            assert tip - seen["confirmations"] + 1 == coin.height
    assert told[-1] == 1.0


def node_out(node: litecoind.Node, txid: str, index: int) -> dict[str, Any]:
    found: dict[str, Any] = node.rpc("gettxout", txid, index)
    return found


def test_a_balance_is_the_sum_of_the_coins(node: litecoind.Node) -> None:
    tip, amounts = source(node).balance([NOBODY, ABSENT])
    fees = newest(node)[0].outputs[0].amount - 50 * 10**8
    assert tip.height == node.rpc("getblockcount")
    assert fees > 0
    assert amounts == {NOBODY: 4 * 50 * 10**8 + fees, ABSENT: 0}


def newest(node: litecoind.Node) -> tuple[ScannedTx, ...]:
    raw = node.rpc("getblock", node.rpc("getbestblockhash"), 0)
    return read_block(bytes.fromhex(raw)).txs


@pytest.mark.parametrize("credentials", [True, False])
def test_the_senders_of_a_real_transaction(node: litecoind.Node, credentials: bool) -> None:
    """By parents: this node's verbosity 3 shows no prevouts. Without credentials, by REST alone."""
    tx = newest(node)[1]
    assert len(tx.inputs) == 6
    told = senders(
        source(node, credentials=credentials), tx, bytes.fromhex(node.rpc("getbestblockhash"))
    )
    expected = {}
    for txin in tx.inputs:
        txid, index = txin.outpoint[31::-1].hex(), int.from_bytes(txin.outpoint[32:], "little")
        out = node.rpc("getrawtransaction", txid, True)["vout"][index]
        assert outpoint_of(bytes.fromhex(txid), index) == txin.outpoint
        expected[txin.outpoint] = Coin(
            bytes.fromhex(out["scriptPubKey"]["hex"]), round(out["value"] * 10**8)
        )
    assert told == expected
    assert len({coin.script[:1] for coin in told.values()}) == 3  # P2PKH, P2SH and P2WPKH


def test_without_rest_the_same_comes_by_rpc(tmp_path: Path) -> None:
    with litecoind.run(tmp_path, rest=False) as node:
        node.rpc("createwallet", "w")
        node.rpc("generatetoaddress", 1, node.rpc("getnewaddress"))
        mine(node, 100, f"raw({ANYONE.hex()})")
        node.rpc("sendtoaddress", node.rpc("getnewaddress"), 1)
        mine(node, 1, f"raw({ANYONE.hex()})")
        found = source(node)
        tx = newest(node)[1]
        told = senders(found, tx, bytes.fromhex(node.rpc("getbestblockhash")))
        assert [coin.amount for coin in told.values()] == [50 * 10**8]
        assert len(found.snapshot([ANYONE]).coins[ANYONE]) == 101
        assert isinstance(found, SnapshotSource)
        assert isinstance(found, SenderSource)


def test_a_cookie_is_read_again_after_the_node_wrote_a_new_one(
    tmp_path: Path, node: litecoind.Node
) -> None:
    stale = tmp_path / ".cookie"
    stale.write_text("__cookie__:" + "0" * 64)
    opened = open_source(f"core+{node.url}?cookie={stale}", SETTINGS)
    assert isinstance(opened, SnapshotSource)
    stale.write_text(node.cookie.read_text())
    assert len(opened.snapshot([NOBODY]).coins[NOBODY]) == 4
    stale.write_text("__cookie__:" + "1" * 64)
    with pytest.raises(ConfigError, match="refuses the credentials") as caught:
        opened.snapshot([NOBODY])
    assert "1" * 64 not in str(caught.value)


def test_the_folder_of_a_cookie_is_as_good_as_its_file(node: litecoind.Node) -> None:
    assert read_cookie(str(node.cookie.parent)) == read_cookie(str(node.cookie))
    opened = open_source(f"core+{node.url}?cookie={node.cookie.parent}", SETTINGS)
    assert opened.tip().height == node.rpc("getblockcount")


@pytest.mark.parametrize("content", ["", "hunter2", "hunter2:", "hunter2\udcff", "hunter2\0y"])
def test_a_cookie_that_is_none_is_a_config_error_that_keeps_its_content(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "cookie"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        read_cookie(str(path))
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_paths_that_lead_to_no_cookie(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing", Path("~nobody-of-that-name/x"), Path("a\0b")):
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            read_cookie(str(path))
        assert caught.value.mend


ACCOUNT = HDKey.from_seed(bytes(range(16))).derive("m/84h/1h/0h")
OTHER = HDKey.from_seed(bytes(range(16, 32))).derive("m/48h/1h/0h/2h")


@pytest.mark.parametrize(
    "form",
    ["pkh({a}/0/*)", "wpkh({a}/0/*)", "sh(wpkh({a}/1/*))", "wsh(sortedmulti(2,{a}/0/*,{b}/0/*))",
     "sh(wsh(multi(1,{a}/0/*,{b}/1/*)))", "sh(sortedmulti(2,{b}/0/*,{a}/0/*))",
     "wpkh([d34db33f/84h/1h/0h]{a}/0/5)", "wsh(pkh({a}/3/*))"],
)
def test_the_node_derives_the_same_scripts(node: litecoind.Node, form: str) -> None:
    version = NETWORKS["test"]["xpub"]
    text = form.format(
        a=ACCOUNT.to_public(version).to_base58(), b=OTHER.to_public(version).to_base58()
    )
    found = Descriptor.parse(text, "regtest")
    known = node.rpc("getdescriptorinfo", text)
    assert known["isrange"] == found.ranged
    # The checksum that the node computes is the one that is verified here.
    assert Descriptor.parse(known["descriptor"], "regtest").fingerprint == found.fingerprint
    if "[" not in text:
        assert known["descriptor"] == found.text
    count = 20 if found.ranged else 1
    addresses = node.rpc(
        "deriveaddresses", known["descriptor"], *([[0, count - 1]] if found.ranged else [])
    )
    assert [
        node.rpc("validateaddress", address)["scriptPubKey"] for address in addresses
    ] == [found.script(0, index).hex() for index in range(count)]


def test_a_descriptor_s_wallet_is_found_whole_by_window_and_snapshot(node: litecoind.Node) -> None:
    """Coins at 0, 18 and 37 of one branch: no gap is as long as the limit."""
    version = NETWORKS["test"]["xpub"]
    wallet = Descriptor.parse(f"wpkh({OTHER.to_public(version).to_base58()}/<0;1>/*)", "regtest")
    for index in (0, 18, 37):
        mine(node, 1, f"raw({wallet.script(1, index).hex()})")
    mine(node, 1, f"raw({NOBODY.hex()})")
    used: set[tuple[int, int]] = set()
    while True:
        places = {wallet.script(*place): place for place in wallet.window(used)}
        held = source(node).snapshot(list(places)).coins
        seen = {places[script] for script, coins in held.items() if coins}
        if seen == used:
            break
        used = seen
    assert used == {(1, 0), (1, 18), (1, 37)}
    assert satoshi(150) == sum(coin.amount for coins in held.values() for coin in coins)
