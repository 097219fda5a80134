"""Who paid: coins that inputs spent, from parents, from Core's forms, and from real blocks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from embit import compact, script
from embit.transaction import Transaction as EmbitTx
from embit.transaction import TransactionInput, TransactionOutput

from tests.block_servers import core_rest_30, esplora, serve
from tests.data import shared_data
from tests.regtest import MINER, SUBSIDY, RegtestChain, key, p2wpkh
from tests.rpc_node import RpcError, rpc_node
from tests.script_index import script_answer, transactions
from tracker.chains.bitcoin.block import read_block
from tracker.chains.bitcoin.core import CoreSource
from tracker.chains.bitcoin.enrich import senders, spent_in_block
from tracker.chains.bitcoin.esplora import MAX_PARENTS, EsploraSource
from tracker.chains.bitcoin.header import HEADER_BYTES, double_sha256, parse_header
from tracker.chains.bitcoin.inclusion import Branch, root_of
from tracker.chains.bitcoin.recorded import coins_in
from tracker.chains.bitcoin.rpc import satoshi
from tracker.chains.bitcoin.transaction import parse_transaction, transaction_reply
from tracker.chains.http import HttpClient
from tracker.domain.match import Coin, ScannedTx, TxIn, TxOut
from tracker.errors import InputError, ReplyError

HIDDEN = b"\x21" + key(5).get_public_key().sec() + b"\xac"  # P2PK: its spender stays hidden


@pytest.fixture(scope="module")
def chain() -> RegtestChain:
    """Its last block spends two coins of one transaction and one of another, P2WPKH and P2PK."""
    found = RegtestChain()
    found.add_key(key(3))
    pays = found.spend(
        found.coinbase(1), [(p2wpkh(key(3)), 70_000), (HIDDEN, 5_000)], change=p2wpkh(MINER)
    )
    block = found.mine(txs=[pays])[0]
    ours = [utxo for utxo in block.utxos if utxo.script in (p2wpkh(key(3)), p2wpkh(MINER))
            and utxo.txid == pays.txid()]
    hidden = next(utxo for utxo in block.utxos if utxo.script == HIDDEN)
    spend = found.spend([*ours, found.coinbase(2)], [(p2wpkh(key(9)), 100_000)],
                        change=p2wpkh(MINER))
    loose = EmbitTx(2, [TransactionInput(hidden.txid, hidden.index)],
                    [TransactionOutput(4_000, script.Script(p2wpkh(key(9))))], 0)
    digest = loose.sighash_legacy(0, script.Script(HIDDEN))
    signature = key(5).sign(digest).serialize() + b"\x01"
    loose.vin[0].script_sig = script.Script(bytes([len(signature)]) + signature)
    found.mine(txs=[spend, loose])
    return found


@pytest.fixture(scope="module")
def txs(chain: RegtestChain) -> tuple[ScannedTx, ...]:
    return read_block(chain.tip.raw).txs


def truth(chain: RegtestChain, tx: ScannedTx) -> dict[bytes, Coin]:
    """What the kernel says that the transaction of the newest block spent."""
    spent = iter(chain.spent(chain.height))
    for other in read_block(chain.tip.raw).txs[1:]:
        coins = {txin.outpoint: next(spent) for txin in other.inputs}
        if other.txid == tx.txid:
            return {place: Coin(locked, amount) for place, (amount, locked) in coins.items()}
    raise AssertionError("not in the newest block")


def client(url: str) -> HttpClient:
    return HttpClient(url, timeout_seconds=10, user_agent="test", field="TRACKER_BITCOIN_SOURCES")


def test_an_esplora_server_s_parents_prove_the_coins(
    chain: RegtestChain, txs: tuple[ScannedTx, ...]
) -> None:
    with serve(chain, esplora) as server:
        source = EsploraSource(client(server.url))
        for tx in txs[1:]:
            assert senders(source, tx, chain.tip.hash) == truth(chain, tx)
        assert senders(source, txs[0], chain.tip.hash) == {}
        asked = [path for path in server.asked if path.endswith("/hex")]
        assert len(asked) == 3  # the parents, each once for a transaction
        assert not [path for path in server.asked if path == f"/tx/{txs[1].txid.hex()}"]


def test_a_trusted_esplora_server_is_asked_once(
    chain: RegtestChain, txs: tuple[ScannedTx, ...]
) -> None:
    with serve(chain, esplora) as server:
        source = EsploraSource(client(server.url), checks="trusted")
        for tx in txs[1:]:
            assert senders(source, tx, chain.tip.hash) == truth(chain, tx)
        assert len(server.asked) == 2
        assert source.prevouts(chain.tip.hash, txs[0]) == {}


def test_a_lying_esplora_server_is_caught(
    chain: RegtestChain, txs: tuple[ScannedTx, ...]
) -> None:
    hidden = txs[2]
    parent = hidden.inputs[0].outpoint[31::-1].hex()
    other = chain.at(3)
    with serve(chain, esplora) as server:
        source = EsploraSource(client(server.url))
        for body in (transactions(other)[0].serialize().hex().encode(), b"<html>", b"00" * 70, b""):
            server.canned[f"/tx/{parent}/hex"] = (200, {}, body)
            with pytest.raises(ReplyError):
                senders(source, hidden, chain.tip.hash)
        server.canned[f"/tx/{parent}/hex"] = (404, {}, b"Transaction not found")
        assert senders(source, hidden, chain.tip.hash) == {}


def test_a_trusted_server_still_cannot_contradict_the_block(
    chain: RegtestChain, txs: tuple[ScannedTx, ...]
) -> None:
    tx = txs[1]
    path = f"/tx/{tx.txid.hex()}"
    with serve(chain, esplora) as server:
        source = EsploraSource(client(server.url), checks="trusted")
        answer = script_answer(chain, path, (), 500)
        assert answer is not None
        honest = json.loads(answer[1])
        for field, value, message in (
            ("scriptpubkey", HIDDEN.hex(), "reveals another script"), ("value", 1, "worth less"),
            ("scriptpubkey", "zz", "without a script"),
        ):
            shown = json.loads(json.dumps(honest))
            for txin in shown["vin"]:
                txin["prevout"][field] = value
            server.canned[path] = (200, {}, json.dumps(shown).encode())
            with pytest.raises(ReplyError, match=message):
                senders(source, tx, chain.tip.hash)
        server.canned[path] = (200, {}, json.dumps({**honest, "txid": "00" * 32}).encode())
        with pytest.raises(ReplyError, match="another transaction"):
            senders(source, tx, chain.tip.hash)


def test_at_most_so_many_parents_are_asked_those_of_hidden_senders_first() -> None:
    chain = RegtestChain(mature=False)
    inputs = [
        TxIn(number, bytes([number + 1]) * 32 + bytes(4), b"\x51" if number < 60 else None)
        for number in range(70)
    ]
    tx = ScannedTx(1, bytes(32), False, tuple(inputs), (TxOut(0, 1, b"\x51"),))
    with serve(chain, esplora) as server:
        assert senders(EsploraSource(client(server.url)), tx, bytes(32)) == {}
        assert len(server.asked) == MAX_PARENTS == 50
        assert server.asked[0] == f"/tx/{inputs[60].outpoint[:32].hex()}/hex"


def test_core_30_s_spent_outputs_are_fetched_once_a_block(
    chain: RegtestChain, txs: tuple[ScannedTx, ...]
) -> None:
    with serve(chain, core_rest_30) as server:
        source = CoreSource(lambda: client(server.url))
        for tx in txs[1:]:
            assert senders(source, tx, chain.tip.hash) == truth(chain, tx)
        assert len([path for path in server.asked if "spenttxouts" in path]) == 1
        path = f"/rest/spenttxouts/{chain.tip.hash.hex()}.bin"
        for body in (b"", b"\x01\x00", b"\x03\x00\x05", b"\x03\x00\x00\x01", b"\xfd\x01\x00"):
            server.canned[path] = (200, {}, body)
            with pytest.raises(ReplyError, match="not of this block"):
                senders(CoreSource(lambda: client(server.url)), txs[2], chain.tip.hash)


def verbose(chain: RegtestChain, tx: ScannedTx) -> dict[str, Any]:
    """A transaction as getrawtransaction 2 and getblock 3 show it, in whole coins."""
    coins = truth(chain, tx) if not tx.coinbase else {}
    return {
        "txid": tx.txid.hex(),
        "vin": [
            {"txid": txin.outpoint[31::-1].hex(), "prevout": {
                "generated": False, "height": 1, "value": coins[txin.outpoint].amount / 10**8,
                "scriptPubKey": {"asm": "", "hex": coins[txin.outpoint].script.hex()},
            }} if coins else {"coinbase": "00"}
            for txin in tx.inputs
        ],
    }


@pytest.mark.parametrize("version", [25, 23, 22])
def test_core_nodes_of_every_age(
    chain: RegtestChain, txs: tuple[ScannedTx, ...], version: int
) -> None:
    def without(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "vin": [{"txid": txin.get("txid")} for txin in row["vin"]]}

    def answer(method: str, params: list[Any]) -> Any:
        if method == "getrawtransaction" and params[1] == 2:
            row = verbose(chain, next(tx for tx in txs if tx.txid.hex() == params[0]))
            return row if version >= 25 else without(row)
        if method == "getblock" and params[1] == 3:
            rows = [verbose(chain, tx) for tx in txs]
            return {"tx": rows if version >= 23 else [without(row) for row in rows]}
        if method == "getrawtransaction":
            for height in range(chain.height + 1):
                for tx in transactions(chain.at(height)):
                    if tx.txid().hex() == params[0]:
                        return tx.serialize().hex()
            raise RpcError(-5, "No such mempool or blockchain transaction")
        raise AssertionError(method)

    with rpc_node(answer) as node:
        source = CoreSource(node.client)
        for tx in txs[1:]:
            assert senders(source, tx, chain.tip.hash) == truth(chain, tx)
        asked = [method for method, _ in node.asked]
    # A node too old for verbosity 3 is not made to send a whole block twice in vain.
    assert asked.count("getblock") == {25: 0, 23: 2, 22: 1}[version]


def test_a_node_without_an_index_leaves_senders_unknown(
    chain: RegtestChain, txs: tuple[ScannedTx, ...]
) -> None:
    def answer(method: str, params: list[Any]) -> Any:
        raise RpcError(-5, "No such transaction. Use -txindex")

    with rpc_node(answer) as node:
        assert senders(CoreSource(node.client), txs[2], chain.tip.hash) == {}


@pytest.mark.parametrize(
    "row",
    [{"txid": "00" * 32, "vin": []}, {"vin": []}, {"txid": "own", "vin": []},
     {"txid": "own", "vin": [{"prevout": {}}]},
     {"txid": "own", "vin": [{"prevout": {"value": "1", "scriptPubKey": {"hex": "51"}}}]},
     {"txid": "own", "vin": [{"prevout": {"value": 1.0, "scriptPubKey": {"hex": "zz"}}}]},
     {"txid": "own", "vin": [{"prevout": {"value": -1, "scriptPubKey": {"hex": "51"}}}]}],
)
def test_verbose_forms_that_are_none(
    chain: RegtestChain, txs: tuple[ScannedTx, ...], row: dict[str, Any]
) -> None:
    if row.get("txid") == "own":
        row = {**row, "txid": txs[2].txid.hex()}
    with rpc_node(lambda method, params: row) as node, pytest.raises(ReplyError):
        senders(CoreSource(node.client), txs[2], chain.tip.hash)


def real(height: int) -> bytes:
    return gzip.decompress(
        (shared_data() / "bitcoin" / "blocks" / f"mainnet_{height}.raw.gz").read_bytes()
    )


def spent(height: int) -> tuple[Coin, ...]:
    path = shared_data() / "bitcoin" / "blocks" / f"mainnet_{height}.spent_utxos.json.gz"
    return coins_in(gzip.decompress(path.read_bytes()))


class Recorded:
    """The coins that a recorded block spent, as a source."""

    def __init__(self, coins: Mapping[bytes, Coin]) -> None:
        self._coins = coins

    def prevouts(self, block_hash: bytes, tx: ScannedTx) -> Mapping[bytes, Coin]:
        return self._coins


@pytest.mark.parametrize("height", [866342, 300025])
def test_no_real_transaction_contradicts_the_coins_it_spent(height: int) -> None:
    """7,972 and 1,427 inputs: every sender that an input reveals is the coin's own script."""
    txs = read_block(real(height)).txs
    rows = iter(spent(height))
    coins = {txin.outpoint: next(rows) for tx in txs[1:] for txin in tx.inputs}
    source = Recorded(coins)
    revealed = 0
    for tx in txs:
        found = senders(source, tx, bytes(32))
        assert set(found) == (set() if tx.coinbase else {txin.outpoint for txin in tx.inputs})
        revealed += sum(txin.script is not None for txin in tx.inputs)
    assert revealed > len(coins) // 3
    victim = next(tx for tx in txs[1:] if tx.inputs[0].script is not None)
    wrong = {**coins, victim.inputs[0].outpoint: Coin(b"\x51", 10**15)}
    with pytest.raises(ReplyError, match="reveals another script"):
        senders(Recorded(wrong), victim, bytes(32))


def test_a_real_block_s_spent_outputs_in_core_30_s_form() -> None:
    txs = read_block(real(866342)).txs
    rows = iter(spent(866342))
    parts = [compact.to_bytes(len(txs)), b"\x00"]
    expected: dict[bytes, dict[bytes, Coin]] = {}
    for tx in txs[1:]:
        parts.append(compact.to_bytes(len(tx.inputs)))
        for txin in tx.inputs:
            coin = next(rows)
            expected.setdefault(tx.txid, {})[txin.outpoint] = coin
            parts += [coin.amount.to_bytes(8, "little"), compact.to_bytes(len(coin.script)),
                      coin.script]
    raw = b"".join(parts)
    for tx in [*txs[1::97], txs[-1]]:
        assert spent_in_block(raw, tx, "node") == expected[tx.txid]
    with pytest.raises(ReplyError):
        spent_in_block(raw, replace(txs[-1], position=len(txs)), "node")


def test_every_transaction_of_real_blocks_parses_to_its_id() -> None:
    for height in (866342, 300025):
        raw = real(height)
        stream = BytesIO(raw[HEADER_BYTES:])
        count = compact.read_from(stream)
        for tx in read_block(raw).txs:
            start = stream.tell()
            EmbitTx.read_from(stream)
            found = parse_transaction(raw[HEADER_BYTES + start : HEADER_BYTES + stream.tell()])
            assert found.txid == tx.txid
            assert found.coinbase == tx.coinbase
            assert found.spends == tuple(txin.outpoint for txin in tx.inputs)
            assert found.outputs == tuple(Coin(out.script, out.amount) for out in tx.outputs)
            count -= 1
        assert count == 0


def test_real_esplora_transactions_parse_to_their_id() -> None:
    """mempool.space's JSON, put back into bytes."""
    path = shared_data() / "bitcoin" / "esplora" / "mempool_transactions_random.json"
    for row in json.loads(path.read_text()):
        tx = EmbitTx(row["version"], [
            TransactionInput(
                bytes.fromhex(txin["txid"]), txin["vout"],
                script.Script(bytes.fromhex(txin["scriptsig"])), txin["sequence"],
                script.Witness([bytes.fromhex(item) for item in txin.get("witness", [])]),
            ) for txin in row["vin"]
        ], [
            TransactionOutput(out["value"], script.Script(bytes.fromhex(out["scriptpubkey"])))
            for out in row["vout"]
        ], row["locktime"])
        raw = tx.serialize()
        found = transaction_reply(raw, bytes.fromhex(row["txid"]), "somebody")
        assert sum(out.amount for out in found.outputs) == sum(
            txin["prevout"]["value"] for txin in row["vin"]
        ) - row["fee"]
        for broken in (raw[:-1], raw + b"\x00", raw[:40], b"", raw[:4] + b"\x00\x02" + raw[6:]):
            with pytest.raises(ReplyError):
                transaction_reply(broken, bytes.fromhex(row["txid"]), "somebody")


def test_merkle_branches_of_a_real_block_lead_to_its_root() -> None:
    raw = real(866342)
    root = parse_header(raw).merkle_root
    ids = [tx.txid[::-1] for tx in read_block(raw).txs]
    for place in (0, 1, 4096, len(ids) - 2, len(ids) - 1):
        level, at, beside = list(ids), place, []
        while len(level) > 1:
            level += level[-1:] if len(level) % 2 else []
            beside.append(level[at ^ 1][::-1].hex())
            level = [double_sha256(level[n] + level[n + 1]) for n in range(0, len(level), 2)]
            at //= 2
        branch = Branch(block_height=866342, merkle=beside, pos=place)
        assert root_of(ids[place][::-1], branch) == root
        assert root_of(ids[place - 1][::-1], branch) != root
        with pytest.raises(ValueError, match="does not fit"):
            root_of(ids[place][::-1], Branch(866342, beside, place + (1 << len(beside))))


def test_a_transaction_that_could_be_two_hashes_is_refused() -> None:
    tx = EmbitTx(1, [TransactionInput(bytes(32), 0)],
                 [TransactionOutput(1, script.Script(b"\x51" * 4))], 0)
    assert len(tx.serialize()) == 64
    with pytest.raises(ValueError, match="two hashes"):
        parse_transaction(tx.serialize())


@pytest.mark.parametrize("value", [None, True, "1", -1, 21_000_001, [1]])
def test_what_is_no_amount(value: object) -> None:
    with pytest.raises(InputError):
        satoshi(value)


def test_the_reward_is_an_amount() -> None:
    assert satoshi(50) == SUBSIDY
