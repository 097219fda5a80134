"""Snapshots of what scripts hold, by an Esplora server that may lag, leave out or lie."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest
from embit.script import Script
from embit.transaction import Transaction, TransactionInput, TransactionOutput

from tests.block_servers import BlockServer, Route, esplora, esplora_with, serve
from tests.data import shared_data
from tests.regtest import MINER, REGTEST_BITS, SUBSIDY, RegtestChain, key, p2wpkh
from tracker.chains.bitcoin.esplora import EsploraSource
from tracker.chains.bitcoin.header import double_sha256
from tracker.chains.http import HttpClient
from tracker.chains.port import HistorySource, SenderSource, SnapshotSource
from tracker.domain.chain import Tip
from tracker.domain.match import HeldCoin, outpoint_of
from tracker.errors import (
    InvalidBlockError,
    LongHistoryError,
    NotFoundError,
    ReplyError,
    SourceUnavailableError,
    TooManyOutputsError,
)

OURS, OTHER = p2wpkh(key(3)), p2wpkh(key(4))
BARE = b"\x21" + key(5).get_public_key().sec() + b"\xac"  # P2PK: a script without an address


@dataclass(slots=True)
class World:
    """A chain in which `OURS` has three coins, one of them mined, and `BARE` one."""

    chain: RegtestChain
    coins: dict[bytes, dict[bytes, HeldCoin]]

    @property
    def tip(self) -> Tip:
        return Tip(self.chain.height, self.chain.tip.hash)


@pytest.fixture(scope="module")
def world() -> World:
    chain = RegtestChain()
    chain.add_key(key(3))
    reward = chain.mine(to=OURS)[0]
    pays = chain.spend(
        chain.coinbase(1), [(OURS, 70_000), (BARE, 5_000), (OTHER, 9), (OURS, 30_000)],
        change=p2wpkh(MINER),
    )
    paid = chain.mine(txs=[pays])[0]
    spent = next(coin for coin in paid.utxos if coin.amount == 30_000)
    onward = chain.spend(spent, [(OURS, 20_000)], change=OTHER)
    last = chain.mine(txs=[onward])[0]
    chain.mine(2)
    held: dict[bytes, dict[bytes, HeldCoin]] = {OURS: {}, BARE: {}}
    for block, amounts in (
        (reward, (SUBSIDY,)), (paid, (70_000, 5_000)), (last, (20_000,)),
    ):
        for utxo in block.utxos:
            if utxo.script in held and utxo.amount in amounts:
                place = outpoint_of(utxo.txid, utxo.index)
                held[utxo.script][place] = HeldCoin(
                    place, utxo.amount, block.height, coinbase=block is reward
                )
    return World(chain, held)


@contextmanager
def source(
    world: World, route: Route = esplora, *, trusted: bool = False, waits: Sequence[float] = (0, 0)
) -> Iterator[tuple[EsploraSource, BlockServer]]:
    with serve(world.chain, route) as server:
        client = HttpClient(
            server.url, timeout_seconds=10, user_agent="test", field="TRACKER_BITCOIN_SOURCES"
        )
        try:
            yield EsploraSource(
                client, checks="trusted" if trusted else "full", waits=waits
            ), server
        finally:
            client.close()


def name(script: bytes) -> str:
    return sha256(script).hexdigest()


def canned(server: BlockServer, path: str, body: object, status: int = 200) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    server.canned[path] = (status, {}, data)


def stats(count: int, total: int) -> dict[str, Any]:
    chain = {
        "tx_count": count, "funded_txo_count": count, "funded_txo_sum": total,
        "spent_txo_count": 0, "spent_txo_sum": 0,
    }
    return {"chain_stats": chain, "mempool_stats": dict.fromkeys(chain, 0)}


def test_a_source_offers_what_the_ports_say(world: World) -> None:
    with source(world) as (esplora_source, _):
        assert isinstance(esplora_source, SnapshotSource)
        assert isinstance(esplora_source, SenderSource)
        assert isinstance(esplora_source, HistorySource)


def test_a_snapshot_is_what_the_chain_holds(world: World) -> None:
    told: list[float] = []
    with source(world) as (found, _):
        snapshot = found.snapshot([OURS, BARE, b"\x51", OURS], told.append)
    assert snapshot.tip == world.tip
    assert {script: {coin.outpoint: coin for coin in held}
            for script, held in snapshot.coins.items()} == {**world.coins, b"\x51": {}}
    assert snapshot.balances() == {OURS: SUBSIDY + 90_000, BARE: 5_000, b"\x51": 0}
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 3


def test_a_trusted_server_is_not_asked_for_proofs(world: World) -> None:
    with source(world, trusted=True) as (found, server):
        snapshot = found.snapshot([OURS])
    assert not [path for path in server.asked if path.startswith("/tx/")]
    assert snapshot.balances() == {OURS: SUBSIDY + 90_000}
    assert {coin.coinbase for coin in snapshot.coins[OURS]} == {None}


def test_a_snapshot_that_was_told_to_slow_down_goes_on_where_it_was(world: World) -> None:
    with source(world) as (found, server):
        txids = sorted({coin.outpoint[31::-1].hex() for coin in world.coins[OURS].values()})
        server.canned[f"/tx/{txids[-1]}/hex"] = (429, {"Retry-After": "7"}, b"Too Many Requests")
        with pytest.raises(SourceUnavailableError, match="slow down") as caught:
            found.snapshot([OURS])
        assert caught.value.retry_after == 7
        server.canned.clear()
        del server.asked[:]
        assert found.snapshot([OURS]).balances() == {OURS: SUBSIDY + 90_000}
        again = [path for path in server.asked if path.startswith("/tx/")]
        assert again == [f"/tx/{txids[-1]}/hex", f"/tx/{txids[-1]}/merkle-proof"]


def test_proofs_hold_across_a_fork(world: World) -> None:
    chain = RegtestChain()
    chain.mine(to=OURS)
    chain.mine(3)
    with source(World(chain, {})) as (found, _):
        before = found.snapshot([OURS, p2wpkh(MINER)])
        chain.fork(chain.height - 2)
        chain.mine(4)
        after = found.snapshot([OURS, p2wpkh(MINER)])
    assert after.tip.height == before.tip.height + 2
    assert after.coins[OURS] == before.coins[OURS]
    shared = set(before.coins[p2wpkh(MINER)]) & set(after.coins[p2wpkh(MINER)])
    assert len(shared) == len(before.coins[p2wpkh(MINER)]) - 2


def test_no_scripts_hold_nothing(world: World) -> None:
    with source(world) as (found, _):
        assert found.snapshot([]).coins == {}


def test_coins_that_unconfirmed_transactions_spend_are_still_held(world: World) -> None:
    coin = next(one for one in world.coins[OURS].values() if one.amount == 70_000)
    first = Transaction(2, [TransactionInput(coin.outpoint[31::-1], 0)], [
        TransactionOutput(60_000, Script(OURS)), TransactionOutput(9_000, Script(OTHER)),
    ], 0)
    second = Transaction(2, [TransactionInput(first.txid(), 0)], [  # spends what is unconfirmed
        TransactionOutput(59_000, Script(OURS)),
    ], 0)
    with source(world, esplora_with([first, second])) as (found, server):
        snapshot = found.snapshot([OURS])
        assert found.balance([OURS])[1] == snapshot.balances()
        listed = [path for path in server.asked if path.endswith("/txs/mempool")]
    assert {coin.outpoint: coin for coin in snapshot.coins[OURS]} == world.coins[OURS]
    assert len(listed) == 1


def test_a_snapshot_begun_before_a_new_block_is_taken_again(world: World) -> None:
    chain = RegtestChain()
    ours = World(chain, {})
    mined: list[bytes] = []

    def route(served: RegtestChain, path: str) -> tuple[int, bytes]:
        answer = esplora(served, path)
        if path.endswith("/utxo") and not mined:
            mined.append(chain.mine(to=p2wpkh(MINER))[0].hash)
        return answer

    with source(ours, route) as (found, _):
        snapshot = found.snapshot([p2wpkh(MINER)])
    assert snapshot.tip.hash == mined[0]
    assert snapshot.tip.height == chain.height
    assert len(snapshot.coins[p2wpkh(MINER)]) == chain.height


def test_a_tip_that_never_rests_is_given_up() -> None:
    chain = RegtestChain(mature=False)

    def route(served: RegtestChain, path: str) -> tuple[int, bytes]:
        answer = esplora(served, path)
        if path.startswith("/scripthash/"):
            chain.mine(to=OTHER)
        return answer

    with source(World(chain, {}), route) as (found, _):
        with pytest.raises(SourceUnavailableError, match="one and the same block") as caught:
            found.snapshot([OURS])
        assert caught.value.value == "a new block came"
        assert chain.height == 3  # one try and two more
        with pytest.raises(SourceUnavailableError):
            found.balance([OURS])


def test_a_server_that_leaves_a_coin_out_is_not_believed(world: World) -> None:
    with source(world) as (found, server):
        path = f"/scripthash/{name(OURS)}/utxo"
        rows = json.loads(esplora(world.chain, path)[1])
        canned(server, path, rows[1:])
        with pytest.raises(SourceUnavailableError) as caught:
            found.snapshot([OURS])
    assert "2 coins listed, 3 in the totals" in str(caught.value)
    assert "bcrt1" in str(caught.value)


def test_a_coin_from_above_the_tip_is_refused(world: World) -> None:
    with source(world) as (found, server):
        path = f"/scripthash/{name(BARE)}/utxo"
        rows = json.loads(esplora(world.chain, path)[1])
        rows[0]["status"]["block_height"] = world.chain.height + 1
        canned(server, path, rows)
        with pytest.raises(SourceUnavailableError, match="one and the same block") as caught:
            found.snapshot([BARE])
    assert caught.value.value == "a coin from above the tip"


def lie(server: BlockServer, amount: int, txid: str, vout: int, height: int) -> None:
    """Make the server say that `OTHER2` holds one coin."""
    canned(server, f"/scripthash/{name(OTHER2)}", stats(1, amount))
    canned(server, f"/scripthash/{name(OTHER2)}/utxo", [
        {"txid": txid, "vout": vout, "value": amount,
         "status": {"confirmed": True, "block_height": height}},
    ])


OTHER2 = p2wpkh(key(77))


def test_a_listed_coin_that_its_transaction_does_not_have(world: World) -> None:
    real = next(iter(world.coins[BARE].values()))
    txid = real.outpoint[31::-1].hex()
    with source(world) as (found, server):
        for amount, vout in ((5_000, 1), (5_000, 99), (6_000, 1)):
            lie(server, amount, txid, vout, real.height)
            with pytest.raises(ReplyError, match="does not have"):
                found.snapshot([OTHER2])
        lie(server, 5_000, txid, 1, real.height)
        with source(world, trusted=True) as (believing, other):
            other.canned.update(server.canned)
            assert believing.snapshot([OTHER2]).balances() == {OTHER2: 5_000}


def invented() -> Transaction:
    return Transaction(
        2, [TransactionInput(bytes(range(32)), 0)], [TransactionOutput(10**12, Script(OTHER2))], 0
    )


def test_an_invented_transaction_is_not_in_any_block(world: World) -> None:
    tx = invented()
    txid = tx.txid().hex()
    with source(world) as (found, server):
        lie(server, 10**12, txid, 0, 5)
        with pytest.raises(NotFoundError, match="does not have the transaction"):
            found.snapshot([OTHER2])
        canned(server, f"/tx/{txid}/hex", tx.serialize().hex().encode())
        with pytest.raises(NotFoundError):
            found.snapshot([OTHER2])
        proof = {"block_height": 5, "merkle": [], "pos": 0}
        for branch in (
            proof, {**proof, "merkle": ["ab" * 32]}, {**proof, "pos": 1},
            {**proof, "merkle": ["00" * 32] * 21},
        ):
            canned(server, f"/tx/{txid}/merkle-proof", branch)
            with pytest.raises(ReplyError, match="does not prove"):
                found.snapshot([OTHER2])
        canned(server, f"/tx/{txid}/merkle-proof", {**proof, "block_height": 6})
        with pytest.raises(SourceUnavailableError, match="another block meanwhile"):
            found.snapshot([OTHER2])


def test_an_invented_block_would_have_to_be_mined(world: World) -> None:
    tx = invented()
    txid = tx.txid().hex()
    limit = 0x7FFFFF << 8 * (0x20 - 3)
    for nonce in range(100):
        header = struct.pack(
            "<i32s32sIII", 2, bytes(32), tx.txid()[::-1], 1_700_000_000, REGTEST_BITS, nonce
        )
        if int.from_bytes(double_sha256(header), "little") > limit:
            break
    block = double_sha256(header)[::-1].hex()
    with source(world) as (found, server):
        lie(server, 10**12, txid, 0, 5)
        canned(server, f"/tx/{txid}/hex", tx.serialize().hex().encode())
        canned(server, f"/tx/{txid}/merkle-proof", {"block_height": 5, "merkle": [], "pos": 0})
        canned(server, "/block-height/5", block.encode())
        canned(server, f"/block/{block}/header", header.hex().encode())
        with pytest.raises(InvalidBlockError, match="too little work"):
            found.snapshot([OTHER2])
        for other in (header[:-1], bytes(80), b"zz"):
            canned(server, f"/block/{block}/header", other.hex().encode())
            with pytest.raises(ReplyError, match="another header"):
                found.snapshot([OTHER2])


def test_too_many_outputs_name_the_address_the_count_and_the_way_out(world: World) -> None:
    recorded = json.loads(
        (shared_data() / "bitcoin" / "errors" / "explorer_errors.json").read_text()
    )
    texts = [row["body_text"] for row in recorded if "utxo" in row["endpoint"]]
    assert len(texts) == 2
    with source(world) as (found, server):
        for text in texts:
            canned(server, f"/scripthash/{name(OURS)}/utxo", text.encode(), 400)
            with pytest.raises(TooManyOutputsError) as caught:
                found.snapshot([BARE, OURS])
            said = str(caught.value)
            assert "3 outputs" in said
            assert text[:20] in said
            assert "bcrt1q" in said
            assert "scantxoutset" in said
    with (
        source(world, esplora_with((), limit=2)) as (strict, _),
        pytest.raises(TooManyOutputsError),
    ):
        strict.snapshot([OURS])


@pytest.mark.parametrize(
    "body",
    [b"<html>please wait</html>", b"[]", b"{}", b'{"chain_stats": {"tx_count": -1}}', b"null",
     json.dumps({"chain_stats": stats(1, 1)["chain_stats"]}).encode(),
     json.dumps(stats(1, 1)).replace("1,", "1.5,", 1).encode()],
)
def test_totals_that_are_none(world: World, body: bytes) -> None:
    with source(world) as (found, server):
        canned(server, f"/scripthash/{name(OURS)}", body)
        for ask in (found.snapshot, found.balance, lambda scripts: found.history(scripts[0])):
            with pytest.raises(ReplyError, match="something else"):
                ask([OURS])


def test_totals_that_spend_more_than_came(world: World) -> None:
    wrong = stats(1, 1)
    wrong["chain_stats"]["spent_txo_count"] = 2
    with source(world) as (found, server):
        canned(server, f"/scripthash/{name(OURS)}", wrong)
        with pytest.raises(ReplyError, match="more was spent"):
            found.balance([OURS])


@pytest.mark.parametrize(
    "row",
    [{"txid": "zz", "vout": 0, "value": 1, "status": {"confirmed": True, "block_height": 1}},
     {"txid": "00" * 32, "vout": -1, "value": 1, "status": {"confirmed": True, "block_height": 1}},
     {"txid": "00" * 32, "vout": 0, "value": 1.5, "status": {"confirmed": True, "block_height": 1}},
     {"txid": "00" * 32, "vout": 0, "value": 22 * 10**14,
      "status": {"confirmed": True, "block_height": 1}},
     {"txid": "00" * 32, "vout": 0, "value": 1, "status": {"confirmed": True}},
     {"txid": "00" * 32, "vout": 0, "value": 1}],
)
def test_listed_coins_of_another_form(world: World, row: dict[str, Any]) -> None:
    with source(world) as (found, server):
        canned(server, f"/scripthash/{name(OURS)}/utxo", [row])
        with pytest.raises(ReplyError):
            found.snapshot([OURS])


def test_progress_that_raises_ends_the_work(world: World) -> None:
    class StopError(Exception):
        pass

    def stop(_: float) -> None:
        raise StopError

    with source(world) as (found, _), pytest.raises(StopError):
        found.snapshot([OURS], stop)


def test_history_comes_page_by_page_newest_first(world: World) -> None:
    with source(world) as (found, server):
        whole = found.history(p2wpkh(MINER))
        pages = [path for path in server.asked if "/txs/chain" in path]
        heights = [height for _, height in whole.transactions]
        assert whole.complete
        assert heights == sorted(heights, reverse=True)
        assert len(pages) == -(-len(heights) // 25)
        assert (min(heights), max(heights)) == (1, world.chain.height)
        some = found.history(p2wpkh(MINER), limit=30)
        assert some.transactions == whole.transactions[:30]
        assert not some.complete
        assert found.first_used(p2wpkh(MINER)) == 1
        assert found.first_used(OURS) == 102
        assert found.first_used(b"\x51") is None
        with pytest.raises(LongHistoryError, match="at most 100 are read"):
            found.first_used(p2wpkh(MINER), limit=100)


def test_pages_that_repeat_or_end_too_soon_are_refused(world: World) -> None:
    path = f"/scripthash/{name(p2wpkh(MINER))}/txs/chain"
    with source(world) as (found, server):
        first = json.loads(esplora(world.chain, path)[1])
        canned(server, f"{path}/{first[-1]['txid']}", first)
        with pytest.raises(ReplyError, match="does not follow"):
            found.history(p2wpkh(MINER))
        canned(server, f"{path}/{first[-1]['txid']}", [])
        with pytest.raises(ReplyError, match="fewer transactions"):
            found.first_used(p2wpkh(MINER))
        assert not found.history(p2wpkh(MINER)).complete
