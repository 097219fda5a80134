"""The Ethereum node of the tests, and the contracts on it that move ether and tokens oddly."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
import requests
from eth_abi import decode
from eth_utils import keccak

from tests import anvil as ethereum
from tests.accounts import Account
from tests.anvil import CANONICAL, DEPOSIT_CONTRACT, ETHER, GWEI, MULTICALL3, WETH, Anvil

ALICE = "0x" + "a1" * 20
BOB = "0x" + "b0" * 20
NOBODY = "0x" + "00" * 20


def _moved(node: Anvil, number: int) -> Counter[str]:
    """Wei that each address gained in a block by its traces, fees left out."""
    failed: list[tuple[str, list[int]]] = []
    net: Counter[str] = Counter()
    for trace in node.traces(number):
        tx, place, action = trace["transactionHash"], trace["traceAddress"], trace["action"]
        if any(tx == other and place[:len(above)] == above for other, above in failed):
            continue
        if trace.get("error"):
            failed.append((tx, place))
        elif trace["type"] == "suicide":
            net[action["address"]] -= int(action["balance"], 16)
            net[action["refundAddress"]] += int(action["balance"], 16)
        elif trace["type"] == "create" or action["callType"] == "call":
            net[action["from"]] -= int(action["value"], 16)
            net[action.get("to") or trace["result"]["address"]] += int(action["value"], 16)
    return net


def test_it_starts_on_the_chain_asked_for_with_funded_accounts() -> None:
    with ethereum.run(chain_id=31337) as node:
        assert int(node.rpc("eth_chainId"), 16) == 31337
        assert node.height == 0
        assert [node.balance(a) for a in node.accounts] == [10_000 * ETHER] * 10


def test_it_is_gone_after_a_failure() -> None:
    seen = []

    def fail() -> None:
        with ethereum.run() as node:
            seen.append(node)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(requests.ConnectionError):
        seen[0].rpc("eth_blockNumber")


def test_two_nodes_given_the_same_steps_make_the_same_hashes(anvil: Anvil) -> None:
    with ethereum.run(chain_id=1) as other:
        assert other.url != anvil.url
        for node in (anvil, other):
            node.deploy("Mover").send("forward", ALICE, value=5)
            node.mine(3)
        assert other.block()["hash"] == anvil.block()["hash"]
        times = [int(anvil.block(n)["timestamp"], 16) for n in range(anvil.height + 1)]
        assert {later - earlier for earlier, later in pairwise(times)} == {12}


def test_an_option_that_it_does_not_know_is_told_in_its_words() -> None:
    with pytest.raises(AssertionError, match="--no-such-option"), ethereum.run(
        options=["--no-such-option"]
    ):
        pass


@pytest.mark.parametrize(("function", "arguments", "gained"), [
    ("forward", (ALICE,), {ALICE: 90}),
    ("spread", ([ALICE, BOB], [40, 50]), {ALICE: 40, BOB: 50}),
    ("nest", (4, ALICE), {ALICE: 90}),
    ("tryForward", (ALICE,), {"mover": 90}),
    ("tryThenForward", (ALICE,), {ALICE: 90}),
    ("fail", (), {}),
    ("create", (), {"child": 90}),
    ("createPaying", (ALICE,), {ALICE: 90}),
    ("tryCreate", (), {"mover": 90}),
    ("createAndDestroy", (ALICE,), {ALICE: 90}),
    ("tryWithGas", ("glutton", 50_000), {"mover": 90}),
    ("delegate", ("library", ALICE, 70), {ALICE: 70, "mover": 20}),
    ("callCode", ("library", 90), {"mover": 90}),
    ("callSelf", (), {"mover": 90}),
    ("payFeeRecipient", (), {BOB: 90}),
])
def test_what_moves_inside_a_transaction_shows_in_traces_and_balances(
    anvil: Anvil, function: str, arguments: tuple[object, ...], gained: dict[str, int]
) -> None:
    mover, library, glutton = (anvil.deploy(n) for n in ("Mover", "Mover", "Glutton"))
    known = {"mover": mover.address, "library": library.address, "glutton": glutton.address}
    if function == "payFeeRecipient":
        anvil.set_fee_recipient(BOB)
    else:
        anvil.set_fee_recipient(NOBODY)
    before = {name: anvil.balance(name) for name in (ALICE, BOB, *known.values())}
    tx = mover.send(
        function, *(known.get(str(one), one) for one in arguments), value=90
    )
    receipt, number = anvil.receipt(tx), anvil.height
    made = [
        t["result"]["address"] for t in anvil.traces(number)
        if t["type"] == "create" and not t.get("error")
    ]
    wanted = Counter(
        {made[0] if name == "child" else known.get(name, name): v for name, v in gained.items()}
    )

    assert receipt["status"] == ("0x0" if function == "fail" else "0x1")
    tips = 0
    if function == "payFeeRecipient":
        base = int(anvil.block(number)["baseFeePerGas"], 16)
        price = int(receipt["effectiveGasPrice"], 16)
        tips = int(receipt["gasUsed"], 16) * (price - base)
    for address in {*before, *made}:
        change = anvil.balance(address, number) - before.get(address, 0)
        assert change - (tips if address == BOB else 0) == wanted[address], address
    by_traces = _moved(anvil, number)
    assert by_traces[anvil.accounts[0]] == -sum(gained.values())
    assert {a: v for a, v in by_traces.items() if v > 0} == dict(wanted)


def test_only_the_frame_that_failed_says_so_and_not_those_below_it(anvil: Anvil) -> None:
    anvil.deploy("Mover").send("tryForward", ALICE, value=90)
    told = [(t["traceAddress"], bool(t.get("error"))) for t in anvil.traces()]
    assert told == [([], False), ([0], True), ([0, 0], False)]


def test_selfdestruct_hands_over_the_balance_and_to_itself_keeps_it(anvil: Anvil) -> None:
    mover = anvil.deploy("Mover")
    anvil.send(None, mover.address, 90)
    mover.send("destroy", mover.address)
    assert anvil.balance(mover.address) == 90
    mover.send("destroy", ALICE)
    assert (anvil.balance(mover.address), anvil.balance(ALICE)) == (0, 90)
    assert _moved(anvil, anvil.height) == Counter({ALICE: 90, mover.address: -90})


def test_ether_of_a_contract_made_and_destroyed_to_itself_is_burnt_unseen_by_traces(
    anvil: Anvil,
) -> None:
    anvil.deploy("Mover").send("createAndDestroy", NOBODY, value=90)
    (child,) = [address for address, wei in _moved(anvil, anvil.height).items() if wei == 90]
    assert anvil.balance(child) == 0


def test_a_call_without_value_moves_nothing(anvil: Anvil) -> None:
    anvil.deploy("Mover").send("callWithZero", ALICE)
    assert len(anvil.traces()) == 2
    assert not any(_moved(anvil, anvil.height).values())


def test_a_block_takes_several_transactions_in_the_order_sent(anvil: Anvil) -> None:
    anvil.set_fee_recipient(BOB)
    with anvil.one_block():
        sent = [anvil.send(anvil.accounts[n], ALICE, n + 1) for n in (3, 1, 2)]
    block = anvil.block()
    assert [tx["hash"] for tx in block["transactions"]] == sent
    assert block["miner"] == BOB
    tips = sum(
        int(r["gasUsed"], 16) * (int(r["effectiveGasPrice"], 16) - int(block["baseFeePerGas"], 16))
        for r in anvil.receipts()
    )
    assert anvil.balance(BOB) == tips > 0
    assert anvil.balance(ALICE) == 9


def test_its_own_accounts_sign_what_they_send(anvil: Anvil) -> None:
    tx = anvil.send(anvil.accounts[2], ALICE, 5)
    raw = anvil.rpc("eth_getRawTransactionByHash", tx)
    assert "0x" + keccak(hexstr=raw).hex() == tx
    assert Account.recover_transaction(raw).lower() == anvil.accounts[2]


def test_anybody_can_be_the_sender_who_can_pay(anvil: Anvil) -> None:
    anvil.set_balance(ALICE, ETHER)
    receipt = anvil.receipt(anvil.send(ALICE, BOB, GWEI))
    fee = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    assert (anvil.balance(ALICE), anvil.balance(BOB)) == (ETHER - GWEI - fee, GWEI)


def test_a_reorganisation_changes_hashes_above_the_fork_and_takes_transactions_back(
    anvil: Anvil,
) -> None:
    anvil.mine(2)
    lost = anvil.send(None, ALICE, 7)
    anvil.mine(2)
    old = [anvil.block(n)["hash"] for n in range(6)]

    kept_height = anvil.reorg(3, (anvil.request(anvil.accounts[4], BOB, 8), 1))

    new = [anvil.block(n)["hash"] for n in range(6)]
    assert kept_height == 5
    assert new[:3] == old[:3]
    assert not set(new[3:]) & set(old)
    assert anvil.block(3)["parentHash"] == new[2]
    assert [len(anvil.block(n)["transactions"]) for n in range(3, 6)] == [0, 1, 0]
    assert (anvil.balance(ALICE), anvil.balance(BOB)) == (0, 8)
    assert anvil.rpc("eth_getTransactionReceipt", lost) is None
    assert anvil.rpc("eth_getBlockByHash", old[3], False) is None


def test_an_empty_reorganisation_changes_hashes_too(anvil: Anvil) -> None:
    anvil.mine(2)
    old = anvil.block(2)["hash"]
    anvil.reorg(1)
    assert anvil.block(2)["hash"] != old


def test_a_snapshot_is_gone_back_to(anvil: Anvil) -> None:
    mark, tip = anvil.snapshot(), anvil.block()["hash"]
    anvil.send(None, ALICE, 7)
    anvil.revert(mark)
    assert (anvil.block()["hash"], anvil.balance(ALICE)) == (tip, 0)


def test_finalized_lags_64_blocks_and_safe_32(anvil: Anvil) -> None:
    anvil.mine(60)
    assert int(anvil.block("finalized")["number"], 16) == 0
    anvil.mine(40)
    assert int(anvil.block("finalized")["number"], 16) == 100 - 64
    assert int(anvil.block("safe")["number"], 16) == 100 - 32


def test_multicall_reads_balances_at_one_old_block(anvil: Anvil) -> None:
    canonical = anvil.place_canonical()
    assert set(canonical) == set(CANONICAL)
    multicall = canonical[MULTICALL3]
    anvil.send(None, ALICE, 5)
    anvil.send(None, ALICE, 6)
    calls = [
        (MULTICALL3, True, bytes.fromhex(multicall.data("getEthBalance", ALICE)[2:])),
        (MULTICALL3, True, bytes.fromhex(multicall.data("getBlockNumber")[2:])),
        (WETH, True, b"\xff" * 4),
        (BOB, True, b"\xff" * 4),
    ]
    at_1 = multicall.call("aggregate3", calls, block=1)
    assert [int.from_bytes(told, "big") for _, told in at_1[:2]] == [5, 1]
    # WETH refuses what it does not know; where no contract is, anything succeeds and says nothing.
    assert at_1[2:] == ((False, b""), (True, b""))


def test_wrapping_changes_balances_by_events_that_are_no_transfer(anvil: Anvil) -> None:
    weth = anvil.place_canonical()[WETH]
    user = anvil.accounts[0]
    wrapped = anvil.receipt(anvil.send(user, WETH, 50))["logs"]
    unwrapped = anvil.receipt(weth.send("withdraw", 20))["logs"]
    assert [log["topics"][0] for log in wrapped] == [weth.artifact.topic("Deposit")]
    assert [log["topics"][0] for log in unwrapped] == [weth.artifact.topic("Withdrawal")]
    assert (weth.call("balanceOf", user), anvil.balance(WETH)) == (30, 30)
    assert weth.call("symbol") == "WETH"


def test_a_deposit_tells_gwei_and_index_in_little_endian(anvil: Anvil) -> None:
    deposit = anvil.place_canonical()[DEPOSIT_CONTRACT]
    credentials = b"\x01" + bytes(11) + bytes.fromhex(ALICE[2:])
    parts = (b"\x0a" * 48, credentials, b"\x0b" * 96, bytes(32))
    deposit.send("deposit", *parts, value=32 * ETHER)
    (log,) = anvil.receipt(deposit.send("deposit", *parts, value=ETHER))["logs"]
    told = decode(["bytes"] * 5, bytes.fromhex(log["data"][2:]))
    assert log["address"] == DEPOSIT_CONTRACT
    assert told[1] == credentials
    assert [int.from_bytes(told[n], "little") for n in (2, 4)] == [ETHER // GWEI, 1]
    refused = anvil.receipt(deposit.send("deposit", *parts, value=1))
    assert refused["status"] == "0x0"


@pytest.mark.parametrize(("tells_gross", "told"), [(False, [99, 1]), (True, [100])])
def test_a_fee_token_delivers_less_than_was_sent(
    anvil: Anvil, tells_gross: bool, told: list[int]
) -> None:
    token = anvil.deploy("FeeToken", 1000, 100, tells_gross, BOB)
    logs = anvil.receipt(token.send("transfer", ALICE, 100))["logs"]
    assert [int(log["data"], 16) for log in logs] == told
    assert (token.call("balanceOf", ALICE), token.call("balanceOf", BOB)) == (99, 1)


def test_a_lying_token_moves_and_tells_apart_from_each_other(anvil: Anvil) -> None:
    token = anvil.deploy("LyingToken", 1000)
    user = anvil.accounts[0]
    told = anvil.receipt(token.send("pretend", user, ALICE, 400))["logs"]
    assert (len(told), token.call("balanceOf", ALICE)) == (1, 0)
    quiet = anvil.receipt(token.send("moveQuietly", user, ALICE, 300))["logs"]
    assert (len(quiet), token.call("balanceOf", ALICE)) == (0, 300)
    assert anvil.receipt(token.send("transfer", ALICE, 701))["status"] == "0x0"


def test_a_rebasing_token_changes_balances_without_an_event(anvil: Anvil) -> None:
    token = anvil.deploy("Rebasing")
    token.send("mint", ALICE, 1000)
    token.send("mint", anvil.accounts[0], 1000)
    logs = anvil.receipt(token.send("setPooled", 2201))["logs"]
    assert (logs, token.call("balanceOf", ALICE), token.call("sharesOf", ALICE)) == ([], 1100, 1000)
    (transfer, shares) = anvil.receipt(token.send("transfer", ALICE, 10))["logs"]
    assert (int(transfer["data"], 16), int(shares["data"], 16)) == (9, 9)  # rounded down
    assert token.call("balanceOf", ALICE) == 1110


def test_a_safe_pays_out_by_its_proxy_in_two_frames_of_which_one_moves(anvil: Anvil) -> None:
    owners = sorted(anvil.accounts[:2])
    proxy = anvil.deploy("SafeProxy", anvil.deploy("Safe").address)
    safe = anvil.at("Safe", proxy.address)
    safe.send("setup", owners, 2)
    anvil.send(None, safe.address, 90)

    payout = (ALICE, 60, b"", 0)
    signatures = b"".join(bytes(12) + bytes.fromhex(o[2:]) + bytes(32) + b"\x01" for o in owners)
    rest = (0, 0, 0, NOBODY, NOBODY, signatures)
    early = anvil.receipt(safe.send("execTransaction", *payout, *rest, sender=owners[0]))
    safe.send("approveHash", safe.call("hashOf", *payout, 0), sender=owners[1])
    paid = anvil.receipt(safe.send("execTransaction", *payout, *rest, sender=owners[0]))

    assert (early["status"], paid["status"]) == ("0x0", "0x1")
    assert [log["topics"][0] for log in paid["logs"]] == [safe.artifact.topic("ExecutionSuccess")]
    assert (anvil.balance(safe.address), anvil.balance(ALICE)) == (30, 60)
    kinds = [(t["action"]["callType"], int(t["action"]["value"], 16)) for t in anvil.traces()]
    assert kinds == [("call", 0), ("delegatecall", 0), ("call", 60)]


def test_the_callers_of_a_plain_token_see_what_its_events_say(anvil: Anvil) -> None:
    token = anvil.deploy("Token", "ANY", 8, 500)
    token.send("approve", ALICE, 40)
    anvil.set_balance(ALICE, ETHER)
    token.send("transferFrom", anvil.accounts[0], BOB, 30, sender=ALICE)
    token.send("burn", 20)
    held = [token.call("balanceOf", a) for a in (anvil.accounts[0], BOB)]
    assert (held, token.call("totalSupply"), token.call("decimals")) == ([450, 30], 480, 8)

