"""A real node's balances before and after a block agree with the block's movements, wei by wei."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest

from tests import anvil
from tests.anvil import DEPOSIT_CONTRACT, ETHER, GWEI, WETH, Anvil
from tracker.chains.ethereum.assets import MAINNET
from tracker.chains.ethereum.movements import movements
from tracker.chains.ethereum.recorded import block_in, receipts_or_logs_in, traces_in
from tracker.chains.ethereum.records import BlockRecords
from tracker.domain.account import AccountMove, Bucket

MINER = "0x" + "77" * 20
HEIR = "0x" + "66" * 20
NOBODY = "0x" + "00" * 20


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with anvil.run() as running:
        running.place_canonical()
        running.set_fee_recipient(MINER)
        yield running


def records(node: Anvil, height: int, form: str) -> BlockRecords:
    """Block `height` as the node tells it, with traces of the form asked for."""
    if form == "flat":
        traces = node.traces(height)
    else:
        traces = node.rpc("debug_traceBlockByNumber", hex(height), {"tracer": "callTracer"})
    receipts, _ = receipts_or_logs_in(msgspec.json.encode(node.receipts(height)))
    return BlockRecords(
        block_in(msgspec.json.encode(node.block(height))), receipts, [],
        traces_in(msgspec.json.encode(traces)),
    )


def both_forms(node: Anvil) -> tuple[AccountMove, ...]:
    """The movements of the newest block, which both forms of traces tell alike."""
    found = movements(records(node, node.height, "flat"), None, MAINNET)
    assert movements(records(node, node.height, "nested"), None, MAINNET) == found
    return found


def changes(node: Anvil, found: tuple[AccountMove, ...]) -> None:
    """Assert that the newest block changed each balance of ether by what its movements sum to."""
    net: Counter[str] = Counter()
    for move in found:
        if (move.asset, move.bucket) == ("ETH", Bucket.LIQUID):
            net[f"0x{move.key.hex()}"] += move.amount
    height = node.height
    named = {*net, *node.accounts, MINER, HEIR, NOBODY}
    for trace in node.traces(height):
        action, made = trace["action"], trace.get("result") or {}
        named |= {action.get("to"), action.get("refundAddress"), made.get("address")} - {None}
    assert {
        address: node.balance(address) - node.balance(address, height - 1) for address in named
    } == {address: net[address] for address in named}


def test_ether_moved_in_every_way_a_transaction_can(node: Anvil) -> None:
    mover, library, dying = (node.deploy("Mover") for _ in range(3))
    for contract in (mover, library, dying):
        node.send(None, contract.address, ETHER)
    glutton = node.deploy("Glutton")
    rich, poor = node.accounts[1], node.accounts[2]
    with node.one_block():
        node.send(rich, poor, 5 * GWEI)
        node.send(rich, rich, 7 * GWEI)
        for name in ("forward", "tryForward", "tryThenForward", "createPaying",
                     "createAndDestroy"):
            mover.send(name, HEIR, sender=rich, value=11 * GWEI)
        mover.send("createAndDestroy", NOBODY, sender=rich, value=13 * GWEI)
        mover.send("spread", [poor, HEIR], [3, 4], sender=rich, value=10)
        mover.send("nest", 3, HEIR, sender=rich, value=17)
        mover.send("create", sender=rich, value=19)
        mover.send("tryCreate", sender=rich, value=23)
        mover.send("delegate", library.address, HEIR, 29, sender=rich, value=31)
        mover.send("callCode", library.address, 37, sender=rich, value=41)
        mover.send("tryWithGas", glutton.address, 50_000, sender=rich, value=43)
        mover.send("callSelf", sender=rich, value=47)
        mover.send("callWithZero", HEIR, sender=rich)
        mover.send("payFeeRecipient", sender=rich, value=53)
        mover.send("fail", sender=rich, value=59)
        dying.send("destroy", HEIR, sender=poor)
        library.send("destroy", library.address, sender=poor)  # older than the transaction
    found = both_forms(node)
    assert len(node.block()["transactions"]) == 21
    assert node.balance(dying.address) == 0
    assert node.balance(library.address) == ETHER
    assert {move.kind.value for move in found} == {"value", "fee", "fee_recipient", "internal"}
    changes(node, found)


def test_a_contract_made_with_value(node: Anvil) -> None:
    stop, revert = "0x00", "0x5f5ffd"
    with node.one_block():
        good = node.send(node.accounts[1], None, 61, stop)
        bad = node.send(node.accounts[1], None, 67, revert)
    made, failed = (node.receipt(tx)["contractAddress"] for tx in (good, bad))
    found = both_forms(node)
    assert {move.amount for move in found if move.key.hex() == made[2:].lower()} == {61}
    assert failed is None or failed[2:].lower() not in {move.key.hex() for move in found}
    changes(node, found)


def test_wrapped_ether_and_a_deposit_to_the_beacon_chain(node: Anvil) -> None:
    weth, beacon = node.at("Weth", WETH), node.at("DepositContract", DEPOSIT_CONTRACT)
    holder, other = node.accounts[3], node.accounts[4]
    credentials = bytes([2]) + bytes(11) + bytes.fromhex(HEIR[2:])
    with node.one_block():
        weth.send("deposit", sender=holder, value=100)
        weth.send("transfer", other, 30, sender=holder)
        weth.send("withdraw", 20, sender=holder)
        beacon.send(
            "deposit", bytes(48), credentials, bytes(96), bytes(32), sender=holder,
            value=32 * ETHER,
        )
    found = both_forms(node)
    changes(node, found)
    wrapped = Counter[str]()
    for move in found:
        if move.asset == "WETH":
            wrapped[f"0x{move.key.hex()}"] += move.amount
    assert wrapped == {address: weth.call("balanceOf", address) for address in (holder, other)}
    assert wrapped[holder] == 50
    [stake] = [move for move in found if move.kind == "stake_deposit"]
    assert (f"0x{stake.key.hex()}", stake.amount, stake.bucket) == (
        HEIR, 32 * ETHER, Bucket.PENDING_DEPOSIT
    )
