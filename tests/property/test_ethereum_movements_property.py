"""Random call trees: both forms of traces say what a machine that rolls back would have moved."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from tests.ethereum_records import copy_of, made_block, made_receipt, made_tx, trees_of, tx_hash
from tracker.chains.ethereum.assets import MAINNET
from tracker.chains.ethereum.movements import effective, movements
from tracker.chains.ethereum.records import BlockRecords, Trace
from tracker.domain.account import AccountKind, AccountMove, Bucket

PEOPLE = [f"0x{digit * 40}" for digit in "abcde"]
KINDS = ("call", "call", "call", "delegatecall", "staticcall", "callcode", "create", "suicide")


@dataclass
class Call:
    """One call of a made transaction, with those it makes."""

    kind: str
    sender: str
    to: str
    value: int
    fails: bool
    calls: list[Call] = field(default_factory=list)


def calls(depth: int) -> st.SearchStrategy[Call]:
    below = st.lists(calls(depth - 1), max_size=3) if depth else st.just([])
    return st.builds(
        Call, st.sampled_from(KINDS), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE),
        st.integers(0, 3), st.booleans() if depth else st.just(False), below,
    )


tops = st.builds(
    Call, st.just("call"), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), st.integers(0, 3),
    st.integers(0, 9).map(lambda roll: roll == 0), st.lists(calls(2), max_size=4),
)


def run(call: Call, balances: Counter[str]) -> None:
    """Move the ether of `call` and those below it; what fails is rolled back."""
    before = balances.copy()
    if call.kind in ("call", "create", "suicide"):
        balances[call.sender] -= call.value
        if not (call.kind == "suicide" and call.sender == call.to):  # before Cancun that burns
            balances[call.to] += call.value
    for inner in call.calls:
        run(inner, balances)
    if call.fails:
        balances.clear()
        balances.update(before)


def frames(call: Call, path: tuple[int, ...], number: int) -> list[Trace]:
    """The frames of `trace_block`: `error` on the one that failed, not below."""
    action: dict[str, str]
    if call.kind == "suicide":
        action = {"address": call.sender, "refundAddress": call.to, "balance": hex(call.value)}
    elif call.kind == "create":
        action = {"from": call.sender, "value": hex(call.value), "creationMethod": "create"}
    else:
        action = {
            "from": call.sender, "to": call.to, "value": hex(call.value), "callType": call.kind
        }
    kind = call.kind if call.kind in ("create", "suicide") else "call"
    own = Trace(
        action, list(path), kind, transaction_hash=tx_hash(number), transaction_position=number,
        error="Reverted" if call.fails else None, result={"address": call.to},
    )
    return [own] + [
        trace for place, inner in enumerate(call.calls)
        for trace in frames(inner, (*path, place), number)
    ]


def without_failing_deaths(call: Call) -> Call:
    """A self-destruct neither fails nor calls."""
    inner = [without_failing_deaths(each) for each in call.calls]
    if call.kind == "suicide":
        return Call(call.kind, call.sender, call.to, call.value, fails=False)
    return Call(call.kind, call.sender, call.to, call.value, call.fails, inner)


@given(st.lists(tops.map(without_failing_deaths), min_size=1, max_size=3))
def test_both_forms_say_what_rolling_back_would(txs: list[Call]) -> None:
    expected: Counter[str] = Counter()
    block = made_block(
        [made_tx(number, tx.sender, tx.to, tx.value) for number, tx in enumerate(txs)],
        base_fee=None,
    )
    receipts = []
    for number, tx in enumerate(txs):
        run(tx, expected)
        receipts.append(made_receipt(number, status=int(not tx.fails), gas=0))
    traces = [trace for number, tx in enumerate(txs) for trace in frames(tx, (), number)]
    records = BlockRecords(block, receipts, [], traces)
    found = movements(records, None, MAINNET)
    assert movements(copy_of(records, traces=trees_of(records)), None, MAINNET) == found
    net: Counter[str] = Counter()
    for move in found:
        net[f"0x{move.key.hex()}"] += move.amount
    assert {who: wei for who, wei in net.items() if wei} == {
        who: wei for who, wei in expected.items() if wei
    }
    one = bytes.fromhex(PEOPLE[0][2:])
    assert movements(records, {one}, MAINNET) == tuple(m for m in found if m.key == one)


moves = st.builds(
    AccountMove, st.sampled_from([b"", b"\1" * 32]), st.sampled_from(["tx", "log:1"]),
    st.sampled_from([AccountKind.VALUE, AccountKind.ERC20_TRANSFER]),
    st.sampled_from([b"\2" * 20, b"\3" * 20]), st.sampled_from(["ETH", "WETH"]),
    st.integers(-2, 2), st.none(), st.sampled_from([Bucket.LIQUID, Bucket.PENDING_DEPOSIT]),
)


@given(st.lists(moves, max_size=12))
def test_what_is_dropped_as_without_effect_changes_no_sum(listed: list[AccountMove]) -> None:
    def sums(of: list[AccountMove]) -> dict[tuple[object, ...], int]:
        found: Counter[tuple[object, ...]] = Counter()
        for move in of:
            found[(move.key, move.asset, move.bucket)] += move.amount
        return {place: amount for place, amount in found.items() if amount}

    kept = effective(listed)
    assert sums(list(kept)) == sums(listed)
    assert effective(kept) == kept
    assert all(move.amount for move in kept)
