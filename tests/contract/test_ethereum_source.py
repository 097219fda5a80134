"""What every Ethereum source does, over recorded mainnet replies and over a real node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from eth_utils import to_checksum_address

from tests import anvil
from tests.accounts import Account
from tests.rpc_lies import Lies
from tests.rpc_replies import Replay, serve
from tests.withdrawals import RpcProxy, proxying
from tracker.chains.ethereum.records import TracedTransaction
from tracker.chains.ethereum.sources import open_source
from tracker.chains.port import EthereumSource, Probe, SlowDownError
from tracker.config import Settings
from tracker.errors import (
    InputError,
    InvalidBlockError,
    NotFoundError,
    PrunedStateError,
    SourceUnavailableError,
    TrackerError,
)

WETH = bytes.fromhex(anvil.WETH[2:])


class Chain(Protocol):
    """The truth behind a source."""

    network: str
    heights: list[int]  # those that it has

    def block(self, height: int) -> dict[str, Any]: ...
    def receipts(self, height: int) -> list[dict[str, Any]]: ...
    def wei(self, height: int) -> dict[str, int]: ...


@dataclass(slots=True)
class Recorded:
    """Block 0 and block 18,000,000 of mainnet."""

    node: Replay
    network: str = "mainnet"

    @property
    def heights(self) -> list[int]:
        return [0, int(self.node.block["number"], 16)]

    def block(self, height: int) -> dict[str, Any]:
        return self.node.block if height else {**self.node.genesis, "transactions": []}

    def receipts(self, height: int) -> list[dict[str, Any]]:
        return self.node.receipts if height else []

    def wei(self, height: int) -> dict[str, int]:
        return {key: int(text, 16) for key, text in self.node.balances.items()} if height else {}


@dataclass(slots=True)
class Live:
    """The chain of a running node."""

    node: anvil.Anvil
    network: str = "chain-31337"

    @property
    def heights(self) -> list[int]:
        return list(range(self.node.height + 1))

    def block(self, height: int) -> dict[str, Any]:
        return self.node.block(height)

    def receipts(self, height: int) -> list[dict[str, Any]]:
        return self.node.receipts(height)

    def wei(self, height: int) -> dict[str, int]:
        return {key: self.node.balance(key, height) for key in self.node.accounts}


@contextmanager
def signing_node(*, multicall: bool) -> Iterator[anvil.Anvil]:
    """A node whose transactions are truly signed, with a few of every type."""
    with anvil.run() as node:
        node.rpc("anvil_autoImpersonateAccount", False)
        first, second, third = node.accounts[:3]
        slots = [{"address": first, "storageKeys": ["0x" + "01" * 32]}]
        if multicall:
            node.place_canonical()
        token = node.deploy("Token", "USDX", 6, 10**12)
        with node.one_block():
            node.send(first, second, 5 * 10**18)
            node.send(second, third, 7, gasPrice=hex(4 * anvil.GWEI))
            node.send(third, first, 9, gasPrice=hex(4 * anvil.GWEI), accessList=slots)
            token.send("transfer", second, 250)
            token.send("transfer", third, 50)
            token.send("transfer", first, 10**13, sender=second)  # fails: it has not so many
        node.mine(2)
        yield node


def _open(url: str, **settings: Any) -> EthereumSource:
    return open_source(url, Settings(http_timeout_seconds=10, **settings))


@contextmanager
def _world(kind: str) -> Iterator[tuple[EthereumSource, Chain]]:
    if kind.startswith("replay"):
        node = Replay(hidden=("eth_getBlockReceipts",) if "single" in kind else ())
        with serve(node.answer) as server:
            server.batch_limit = 3 if "batches" in kind else None
            yield _open(server.url), Recorded(node)
        return
    with signing_node(multicall="multicall" in kind) as running:
        lies = Lies(hidden=("eth_getBlockReceipts",) if "single" in kind else ())
        with proxying(running, lies=lies) as proxy:
            yield _open(proxy.url, ethereum_chain_id=31337), Live(running)


@pytest.fixture(params=[
    "replay", "replay-single-receipts", "replay-batches-of-three", "node-multicall",
    "node-single-receipts",
])
def world(request: pytest.FixtureRequest) -> Iterator[tuple[EthereumSource, Chain]]:
    with _world(request.param) as found:
        yield found


World = tuple[EthereumSource, Chain]


def _hash(block: dict[str, Any]) -> bytes:
    return bytes.fromhex(block["hash"][2:])


def test_blocks_come_whole_with_receipts_and_logs(world: World) -> None:
    source, chain = world
    for height in chain.heights[1:]:
        truth, receipts = chain.block(height), chain.receipts(height)
        found = source.block(_hash(truth))
        assert (found.block.number, found.block.hash) == (hex(height), truth["hash"])
        assert [(tx.hash, tx.from_, tx.value) for tx in found.block.transactions] == [
            (tx["hash"], tx["from"], tx["value"]) for tx in truth["transactions"]
        ]
        assert [receipt.status for receipt in found.receipts or ()] == [
            receipt["status"] for receipt in receipts
        ]
        assert [(log.address, log.topics, log.data) for log in found.logs] == [
            (log["address"], log["topics"], log["data"])
            for receipt in receipts for log in receipt["logs"]
        ]


def test_tip_and_hashes_are_those_of_the_chain(world: World) -> None:
    source, chain = world
    newest = chain.heights[-1]
    tip = source.tip()
    assert (tip.height, tip.hash) == (newest, _hash(chain.block(newest)))
    for height in chain.heights:
        assert source.block_hash(height) == _hash(chain.block(height))
        header = source.header(height)
        assert header is not None
        assert header.parent_hash == chain.block(height)["parentHash"]


def test_final_and_safe_blocks_are_of_the_chain_and_not_above_the_tip(world: World) -> None:
    source, chain = world
    for found in (source.finalized(), source.safe()):
        assert found is not None
        assert found.height <= chain.heights[-1]
        assert found.hash == _hash(chain.block(found.height))


def test_it_knows_nothing_above_its_tip_nor_of_foreign_blocks(world: World) -> None:
    source, chain = world
    assert source.block_hash(chain.heights[-1] + 1) is None
    assert source.header(chain.heights[-1] + 1) is None
    for ask in (source.block, lambda found: source.balances([b"\x11" * 20], [], found)):
        with pytest.raises(TrackerError) as caught:
            ask(bytes(range(32)))
        assert isinstance(caught.value, NotFoundError)


def test_balances_are_those_after_the_block(world: World) -> None:
    source, chain = world
    height = chain.heights[-1]
    wei = chain.wei(height)
    found = source.balances(
        [bytes.fromhex(key[2:]) for key in wei], [], _hash(chain.block(height))
    )
    assert found == {Probe(bytes.fromhex(key[2:]), None): amount for key, amount in wei.items()}


def test_it_names_itself_and_its_chain(world: World) -> None:
    source, chain = world
    assert source.network() == chain.network
    assert (source.kind, source.name.partition("+")[0]) == ("rpc", "rpc")
    assert "@" not in source.name


# What only a node that makes blocks can show.


@pytest.fixture
def node() -> Iterator[anvil.Anvil]:
    with signing_node(multicall=True) as running:
        yield running


@pytest.fixture
def proxy(node: anvil.Anvil) -> Iterator[RpcProxy]:
    with proxying(node) as running:
        yield running


@pytest.fixture
def source(proxy: RpcProxy) -> EthereumSource:
    return _open(proxy.url, ethereum_chain_id=31337)


def test_every_transaction_type_of_a_real_node_verifies(
    node: anvil.Anvil, source: EthereumSource
) -> None:
    kinds = set()
    for height in range(node.height + 1):
        found = source.block(_hash(node.block(height)))
        kinds |= {tx.type for tx in found.block.transactions}
    assert kinds == {"0x0", "0x1", "0x2"}


def test_a_delegation_verifies(node: anvil.Anvil, source: EthereumSource) -> None:
    # The first key of anvil's published test mnemonic.
    account = Account.from_key(
        "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
    )
    assert account.address.lower() == node.accounts[0]
    nonce = int(node.rpc("eth_getTransactionCount", account.address, "latest"), 16)
    authorisation = account.sign_authorization(
        {"chainId": 31337, "address": "0x" + "22" * 20, "nonce": nonce + 1}
    )
    signed = account.sign_transaction({
        "type": 4, "chainId": 31337, "nonce": nonce, "to": to_checksum_address(node.accounts[1]),
        "value": 3, "gas": 500_000, "data": b"", "accessList": [],
        "maxFeePerGas": 4 * anvil.GWEI, "maxPriorityFeePerGas": anvil.GWEI,
        "authorizationList": [authorisation],
    })
    node.rpc("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex().removeprefix("0x"))
    found = source.block(source.tip().hash)
    assert [tx.type for tx in found.block.transactions] == ["0x4"]


def test_tokens_are_counted_and_what_is_no_token_is_unknown(
    node: anvil.Anvil, source: EthereumSource
) -> None:
    receipts = [receipt for height in range(node.height + 1) for receipt in node.receipts(height)]
    made = [receipt["contractAddress"] for receipt in receipts if receipt["contractAddress"]]
    token, nothing = bytes.fromhex(made[0][2:]), b"\x77" * 20
    keys = [bytes.fromhex(key[2:]) for key in node.accounts[:3]]
    found = source.balances(keys, [token, nothing, WETH], source.tip().hash)
    assert [found[Probe(key, token)] for key in keys] == [10**12 - 300, 250, 50]
    assert [found[Probe(key, nothing)] for key in keys] == [None] * 3
    assert [found[Probe(key, WETH)] for key in keys] == [0] * 3
    before = source.block_hash(0)
    assert before is not None
    assert source.balances(keys, [token], before)[Probe(keys[0], token)] is None
    assert source.call(token, bytes.fromhex("18160ddd"), source.tip().hash) == \
        (10**12).to_bytes(32)
    assert source.call(token, b"\xff" * 4, source.tip().hash) is None
    assert source.call(nothing, b"\xff" * 4, source.tip().hash) == b""


def test_logs_by_range_end_at_the_final_block(node: anvil.Anvil, source: EthereumSource) -> None:
    with pytest.raises(InputError):
        source.logs(0, node.height)
    last = node.height
    node.mine(70)
    found = source.logs(0, last)
    assert [log.data for log in found] == [
        log["data"]
        for height in range(last + 1) for receipt in node.receipts(height)
        for log in receipt["logs"]
    ]
    assert len(found) == 3
    assert source.logs(0, last, [b"\x77" * 20]) == []


def test_traces_are_flat_or_trees_or_none(
    node: anvil.Anvil, proxy: RpcProxy, source: EthereumSource
) -> None:
    block = next(
        node.block(height) for height in range(node.height + 1)
        if len(node.block(height)["transactions"]) == 6
    )
    flat = source.traces(_hash(block))
    assert flat is not None
    assert len(flat) == 6
    assert all(not isinstance(trace, TracedTransaction) for trace in flat)
    proxy.lies = Lies(hidden=("trace_block",))
    trees = _open(proxy.url, ethereum_chain_id=31337).traces(_hash(block))
    assert [tree.tx_hash for tree in trees or () if isinstance(tree, TracedTransaction)] == [
        tx["hash"] for tx in block["transactions"]
    ]
    proxy.lies = Lies(hidden=("trace_*", "debug_*"))
    assert _open(proxy.url, ethereum_chain_id=31337).traces(_hash(block)) is None


def test_a_block_that_was_forked_away_has_no_state_and_no_flat_traces_any_more(
    node: anvil.Anvil, source: EthereumSource
) -> None:
    old = source.tip()
    node.reorg(1)
    node.send(node.accounts[4], node.accounts[5], 1)
    assert source.block_hash(old.height) != old.hash
    with pytest.raises(NotFoundError):
        source.traces(old.hash)


@pytest.mark.parametrize(("lies", "due"), [
    (Lies(keep_logs=0), InvalidBlockError),
    (Lies(retry_after="7"), SlowDownError),
    (Lies(status=503), SourceUnavailableError),
    (Lies(cut=True), SourceUnavailableError),
    (Lies(cut_unsaid=True), SourceUnavailableError),
    (Lies(null=("eth_getBlockByHash",)), NotFoundError),
    (Lies(null=("eth_getBlockReceipts",)), NotFoundError),
])
def test_a_lie_about_a_block_is_found(
    node: anvil.Anvil, proxy: RpcProxy, source: EthereumSource, lies: Lies,
    due: type[TrackerError],
) -> None:
    block = next(
        node.block(height) for height in range(node.height + 1)
        if len(node.block(height)["transactions"]) == 6
    )
    proxy.lies = lies
    with pytest.raises(due) as caught:
        source.block(_hash(block))
    assert caught.value.mend
    proxy.lies = Lies()
    assert len(source.block(_hash(block)).logs) == 2


def test_withdrawals_that_the_block_does_not_have_are_found(
    node: anvil.Anvil, proxy: RpcProxy, source: EthereumSource
) -> None:
    block = proxy.withdraw(node, (node.accounts[6], 5, 1))
    with pytest.raises(InvalidBlockError) as caught:
        source.block(_hash(block))
    assert caught.value.field == "withdrawalsRoot"


def test_states_that_were_let_go_say_so(
    node: anvil.Anvil, proxy: RpcProxy, source: EthereumSource
) -> None:
    first = source.block_hash(0)
    assert first is not None
    proxy.lies = Lies(states=2)
    with pytest.raises(PrunedStateError):
        source.balances([b"\x11" * 20], [], first)
    assert source.balances([b"\x11" * 20], [], source.tip().hash) == {Probe(b"\x11" * 20, None): 0}


def test_another_chain_says_so(proxy: RpcProxy, source: EthereumSource) -> None:
    proxy.lies = Lies(chain_id=1)
    assert (source.network() or "").startswith("another chain (id 1, ")
