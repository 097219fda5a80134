"""What an Ethereum block moves: recorded blocks to the wei, made ones for what they lack."""

from __future__ import annotations

import csv
import io
import random
from collections import Counter

import msgspec
import pytest

from tests.ethereum_records import (
    ALICE,
    BOB,
    CAROL,
    MINER,
    TRANSFER,
    WETH,
    answers,
    block_18m,
    block_of,
    copy_of,
    data_of,
    flat,
    made_block,
    made_log,
    made_receipt,
    made_tx,
    nested,
    result,
    transfer,
    trees_of,
    tx_hash,
    word,
)
from tracker.chains.ethereum.address import parse
from tracker.chains.ethereum.assets import DEPOSIT_CONTRACT, MAINNET, AssetTable, Token
from tracker.chains.ethereum.deposits import stake_deposit
from tracker.chains.ethereum.logs import log_moves
from tracker.chains.ethereum.movements import effective, movements
from tracker.chains.ethereum.recorded import logs_in
from tracker.chains.ethereum.records import (
    Block,
    BlockRecords,
    CallFrame,
    Log,
    Trace,
    TracedTransaction,
    Withdrawal,
)
from tracker.chains.ethereum.traces import silent_destructs
from tracker.domain import units
from tracker.domain.account import AccountMove, Bucket
from tracker.errors import InputError, ReplyError

ETL = "ethereum_etl/test_export_traces_job__block_with_{0}__{1}"
GETH = "ethereum_etl/test_extract_geth_traces_job__block_with_{0}__{1}"
HEIGHTS = {"create": "0xf44f2", "error": "0xf45bf", "subtraces": "0xf4240", "suicide": "0xf7105"}
ZERO = "0x" + "00" * 20

# (kind, ref, address, amount): what most tests compare.
Line = tuple[str, str, str, int]


def key(address: str) -> bytes:
    return bytes.fromhex(address[2:])


def lines(moves: tuple[AccountMove, ...]) -> list[Line]:
    return [(move.kind.value, move.ref, f"0x{move.key.hex()}", move.amount) for move in moves]


def moved(records: BlockRecords, *kinds: str) -> list[Line]:
    return [
        line for line in lines(movements(records, None, MAINNET)) if not kinds or line[0] in kinds
    ]


# -- block 18000000 --------------------------------------------------------------------------------


def test_every_token_transfer_of_a_real_block() -> None:
    expected = {
        (row["token"], row["log_index"], row["tx"], row["frm"], row["to"], int(row["raw"]))
        for row in answers("eth_18000000")["erc20_transfers"]
    }
    found = set()
    by_log: dict[str, list[AccountMove]] = {}
    for move in movements(block_18m(), None, MAINNET):
        if move.kind == "erc20_transfer" and move.asset in ("WETH", "USDC", "USDT"):
            by_log.setdefault(move.ref, []).append(move)
    for ref, [sent, got] in by_log.items():  # the payer first
        assert (sent.other, got.other, sent.amount) == (got.key, sent.key, -got.amount)
        found.add((
            sent.asset, int(ref.removeprefix("log:")), f"0x{sent.tx.hex()}",
            f"0x{sent.key.hex()}", f"0x{got.key.hex()}", got.amount,
        ))
    assert found == expected
    assert len(found) == 89


def test_every_withdrawal_of_a_real_block() -> None:
    expected = [
        (f"withdrawal:{row['index']}", row["address"], row["gwei"] * 10**9)
        for row in answers("eth_18000000")["withdrawals"]
    ]
    assert len(expected) == 16
    assert [line[1:] for line in moved(block_18m(), "withdrawal")] == expected


def test_fees_of_a_real_block_and_what_of_them_was_burnt() -> None:
    known = answers("eth_18000000")
    paid = -sum(line[3] for line in moved(block_18m(), "fee"))
    earned = sum(line[3] for line in moved(block_18m(), "fee_recipient"))
    assert paid == int(known["total_fees_wei"])
    assert paid - earned == int(known["burnt_wei"])
    assert len(moved(block_18m(), "fee")) == known["n_tx"]


def test_value_moves_only_where_the_transaction_succeeded() -> None:
    known = answers("eth_18000000")
    got = [line[3] for line in moved(block_18m(), "value") if line[3] > 0]
    assert sum(got) == int(known["sum_value_wei_success"])
    receipts = {receipt.transaction_hash: receipt for receipt in block_18m().receipts or []}
    failed = [
        tx for tx in block_18m().block.transactions if receipts[tx.hash].status == "0x0"
    ]
    assert len(failed) == known["n_failed"] == 2
    at = {bytes.fromhex(tx.hash[2:]) for tx in failed}
    assert {
        move.kind.value for move in movements(block_18m(), None, MAINNET) if move.tx in at
    } <= {"fee", "fee_recipient"}


def test_the_net_flow_of_every_address_of_a_real_block() -> None:
    known = answers("eth_18000000")["toplevel_net_flow_wei"]
    net: Counter[str] = Counter()
    for move in movements(block_18m(), None, MAINNET):
        if move.asset == "ETH":
            net[f"0x{move.key.hex()}"] += move.amount
    assert {address: str(wei) for address, wei in net.items() if wei} == known


def test_wrapping_and_unwrapping_are_told_by_their_own_logs() -> None:
    # Signatures as the verified source of WETH9 has them; their topics are public.
    deposit = "0xe1fffcc4923d04b559f4d29a8bfc6cda04eb5b0d3c460751c2402c5c5cc9109c"
    withdrawal = "0x7fcf532c15f0a6db0bd6d0e038bea71d30d808c7d98cb3bf7268a95bf5081b65"
    expected = []
    recorded = result("eth_getBlockReceipts__test_02.json.gz")
    for log in (log for receipt in recorded for log in receipt["logs"]):
        if log["address"] == WETH and log["topics"][0] in (deposit, withdrawal):
            kind, sign = ("wrap", 1) if log["topics"][0] == deposit else ("unwrap", -1)
            expected.append((
                kind, f"log:{int(log['logIndex'], 16)}", f"0x{log['topics'][1][26:]}",
                sign * int(log["data"], 16),
            ))
    assert Counter(line[0] for line in expected) == {"wrap": 14, "unwrap": 10}
    assert moved(block_18m(), "wrap", "unwrap") == expected


def test_balances_of_a_node_before_and_after_agree_save_for_internal_transfers() -> None:
    before = result("erigon_getBalanceChangesInBlock__test_01.json")
    after = result("erigon_getBalanceChangesInBlock__test_08.json")
    parent = block_18m().block.parent_hash
    asked = data_of("rpc/erigon_getBalanceChangesInBlock__test_01.json").decode()
    assert parent in asked  # so the first file's new balances are the second's old ones
    both = before.keys() & after.keys()
    assert len(both) == 15
    net: Counter[str] = Counter()
    for move in movements(block_18m(), None, MAINNET):
        if move.asset == "ETH":
            net[f"0x{move.key.hex()}"] += move.amount
    differ = {
        address for address in both
        if int(after[address], 16) - int(before[address], 16) != net[address]
    }
    assert {address[:10] for address in differ} == {"0xe4edb277", "0x3999d2c5", WETH[:10]}


def test_a_watched_subset_sees_its_part_of_everything() -> None:
    whole = movements(block_18m(), None, MAINNET)
    everyone = sorted({move.key for move in whole})
    rng = random.Random(18_000_000)
    for size in (0, 1, 2, 7, 60):
        watched = set(rng.sample(everyone, size))
        assert movements(block_18m(), watched, MAINNET) == tuple(
            move for move in whole if move.key in watched
        )


def test_the_logs_of_the_block_are_as_good_as_those_of_its_receipts() -> None:
    records = block_18m()
    logs = [log for receipt in records.receipts or [] for log in receipt.logs]
    bare = [msgspec.structs.replace(receipt, logs=[]) for receipt in records.receipts or []]
    whole = movements(records, None, MAINNET)
    assert movements(copy_of(records, logs=logs[::-1]), None, MAINNET) == whole
    assert movements(copy_of(records, logs=logs, receipts=bare), None, MAINNET) == whole
    filtered = copy_of(records, logs=logs[:5], logs_complete=False)
    assert movements(filtered, None, MAINNET) == whole


def test_the_order_is_the_blocks() -> None:
    order = {key(tx.hash): place for place, tx in enumerate(block_18m().block.transactions)}
    places = [
        order.get(move.tx, len(order)) for move in movements(block_18m(), None, MAINNET)
    ]
    assert places == sorted(places)
    assert places[-1] == len(order)


# -- deposits --------------------------------------------------------------------------------------


def test_every_deposit_of_two_recorded_blocks() -> None:
    known = answers("deposit_contract_17502386_17502387")["deposits"]
    assert len(known) == 184
    logs = logs_in(data_of("rpc/eth_getLogs__test_02.json.gz"))
    assert [
        (
            int(log.block_number, 16), log.transaction_hash, int(log.log_index, 16), deposit.index,
            deposit.pubkey.hex(), deposit.credentials.hex(), deposit.amount,
        )
        for log in logs for deposit in [stake_deposit(log)]
    ] == [
        (
            row["block"], row["tx"], row["log_index"], row["deposit_index"], row["pubkey"],
            row["withdrawal_credentials"], row["amount_gwei"] * 10**9,
        )
        for row in known
    ]
    assert [
        (f"0x{move.tx.hex()}", move.ref, move.key.hex(), move.amount, move.bucket, move.other)
        for move in log_moves(logs, None, MAINNET)
    ] == [
        (
            row["tx"], f"log:{row['log_index']}", row["withdrawal_credentials"][24:],
            row["amount_gwei"] * 10**9, Bucket.PENDING_DEPOSIT, DEPOSIT_CONTRACT,
        )
        for row in known if row["withdrawal_credentials"].startswith("01")
    ]


@pytest.mark.parametrize(("prefix", "owned"), [("00", False), ("01", True), ("02", True)])
def test_credentials_name_an_address_or_nobody(prefix: str, owned: bool) -> None:
    [log, *_] = logs_in(data_of("rpc/eth_getLogs__test_02.json.gz"))
    log.data = log.data.replace("01" + "00" * 11 + "30aa36", prefix + "00" * 11 + "30aa36")
    found = list(log_moves([log], None, MAINNET))
    assert len(found) == owned
    assert (stake_deposit(log).owner is not None) == owned


def test_a_deposit_with_another_layout_is_refused() -> None:
    [log, *_] = logs_in(data_of("rpc/eth_getLogs__test_02.json.gz"))
    whole = log.data
    for bad in (whole[:-64], whole.replace("00a0", "00c0", 1), whole[:-2] + "zz"):
        log.data = bad
        with pytest.raises(ReplyError, match="malformed"):
            stake_deposit(log)


# -- logs, made ------------------------------------------------------------------------------------


def logged(*logs: Log, assets: AssetTable = MAINNET) -> list[Line]:
    return lines(tuple(log_moves(logs, None, assets)))


def test_a_transfer_of_nothing_and_to_oneself_is_listed_and_changes_no_balance() -> None:
    moves = tuple(log_moves(
        [transfer(0, ALICE, BOB, 0), transfer(1, ALICE, ALICE, 5), transfer(2, ALICE, BOB, 7)],
        None, MAINNET,
    ))
    assert lines(moves) == [
        ("erc20_transfer", "log:0", ALICE, 0), ("erc20_transfer", "log:0", BOB, 0),
        ("erc20_transfer", "log:1", ALICE, -5), ("erc20_transfer", "log:1", ALICE, 5),
        ("erc20_transfer", "log:2", ALICE, -7), ("erc20_transfer", "log:2", BOB, 7),
    ]
    assert lines(effective(moves)) == lines(moves)[4:]
    assert [move.other for move in moves[4:]] == [key(BOB), key(ALICE)]


def test_what_cancels_only_across_places_stays() -> None:
    moves = tuple(log_moves(
        [transfer(0, ALICE, BOB, 5), transfer(1, BOB, ALICE, 5)], {key(ALICE)}, MAINNET
    ))
    assert effective(moves) == moves
    assert [move.amount for move in moves] == [-5, 5]


def test_minting_and_burning_have_one_side() -> None:
    found = tuple(log_moves(
        [transfer(0, ZERO, ALICE, 5), transfer(1, BOB, ZERO, 6)], None, MAINNET
    ))
    assert [(move.key, move.amount, move.other) for move in found] == [
        (key(ALICE), 5, None), (key(BOB), -6, None)
    ]


def test_other_tokens_nfts_and_orphaned_logs_move_nothing() -> None:
    nft = made_log(0, WETH, [TRANSFER, word(ALICE), word(BOB), word(CAROL)], "0x")
    unknown = transfer(1, ALICE, BOB, 5, "0x" + "77" * 20)
    approval = made_log(2, WETH, ["0x" + "8c" * 32, word(ALICE), word(BOB)], f"0x{5:064x}")
    orphaned = made_log(
        3, WETH, [TRANSFER, word(ALICE), word(BOB)], f"0x{5:064x}", removed=True
    )
    bare = made_log(4, WETH, [], "0x")
    assert logged(nft, unknown, approval, orphaned, bare) == []


def test_only_wrapped_ether_wraps() -> None:
    topics = ["0xe1fffcc4923d04b559f4d29a8bfc6cda04eb5b0d3c460751c2402c5c5cc9109c", word(ALICE)]
    usdc = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
    assert logged(made_log(0, usdc, topics, f"0x{5:064x}")) == []
    assert logged(made_log(0, WETH, topics, f"0x{5:064x}")) == [("wrap", "log:0", ALICE, 5)]


def test_a_capital_letter_in_an_address_does_not_hide_a_log() -> None:
    log = transfer(0, ALICE, BOB, 5, parse(WETH)[1])
    log.topics = [TRANSFER, word("0x" + "A" * 40), word(BOB)]
    assert logged(log)[0] == ("erc20_transfer", "log:0", ALICE, -5)


def test_a_thousand_logs_are_a_thousand_transfers() -> None:
    logs = [transfer(index, ALICE, BOB, index) for index in range(1000)]
    found = logged(*logs)
    assert len(found) == 2000
    assert sum(line[3] for line in found if line[2] == BOB) == 999 * 1000 // 2


@pytest.mark.parametrize("change", [
    {"data": "0x" + "zz" * 32}, {"data": "0x05"}, {"data": "5"},
    {"topics": [TRANSFER, "0x" + "xy" * 32, word(BOB)]},
    {"topics": [TRANSFER, "0x", word(BOB)]}, {"log_index": "five"},
    {"transaction_hash": "0x12"},
])
def test_a_malformed_log_is_an_error_that_names_it(change: dict[str, object]) -> None:
    log = transfer(7, ALICE, BOB, 5)
    for name, value in change.items():
        setattr(log, name, value)
    with pytest.raises(ReplyError) as refused:
        logged(log)
    assert "log" in str(refused.value.field)
    assert refused.value.mend


def test_a_table_of_other_addresses_is_followed() -> None:
    token = "0x" + "77" * 20
    table = AssetTable([Token("stETH", key(token), Bucket.LIQUID_STAKED, rebasing=True)])
    [sent, got] = log_moves([transfer(0, ALICE, BOB, 5, token)], None, table)
    assert (sent.asset, sent.bucket, got.amount) == ("stETH", Bucket.LIQUID_STAKED, 5)
    assert logged(transfer(0, ALICE, BOB, 5), assets=table) == []


# -- transactions, made ----------------------------------------------------------------------------


def one(block: Block, *receipts: object, **more: object) -> BlockRecords:
    return BlockRecords(block, list(receipts), **more)  # type: ignore[arg-type]


def test_a_payment_its_fee_and_the_tip() -> None:
    records = one(made_block([made_tx(0, ALICE, BOB, 500)]), made_receipt(0))
    assert moved(records) == [
        ("value", "tx", ALICE, -500), ("value", "tx", BOB, 500),
        ("fee", "fee", ALICE, -210_000), ("fee_recipient", "fee", MINER, 147_000),
    ]


def test_a_failed_transaction_pays_only_its_fee() -> None:
    records = one(made_block([made_tx(0, ALICE, BOB, 500)]), made_receipt(0, status=0))
    assert {line[0] for line in moved(records)} == {"fee", "fee_recipient"}


def test_no_value_is_no_movement_and_paying_oneself_two() -> None:
    txs = [made_tx(0, ALICE, BOB, 0), made_tx(1, ALICE, ALICE, 5)]
    records = one(made_block(txs), made_receipt(0), made_receipt(1))
    assert moved(records, "value") == [("value", "tx", ALICE, -5), ("value", "tx", ALICE, 5)]
    assert not [
        move for move in effective(movements(records, None, MAINNET)) if move.kind == "value"
    ]


def test_a_contract_creation_pays_the_contract() -> None:
    block = made_block([made_tx(0, ALICE, None, 500)])
    records = one(block, made_receipt(0, made=CAROL))
    assert ("value", "tx", CAROL, 500) in moved(records)
    assert lines(movements(records, {key(CAROL)}, MAINNET)) == [("value", "tx", CAROL, 500)]
    failed = one(block, made_receipt(0, status=0))
    assert moved(failed, "value") == []
    with pytest.raises(ReplyError, match="contractAddress"):
        moved(one(block, made_receipt(0)))


def test_blobs_are_paid_by_the_sender_and_burnt() -> None:
    records = one(
        made_block([made_tx(0, ALICE, BOB, 0)]), made_receipt(0, status=0, blobs=(131_072, 7))
    )
    assert moved(records) == [
        ("fee", "fee", ALICE, -210_000 - 917_504), ("fee_recipient", "fee", MINER, 147_000)
    ]


def test_before_london_the_miner_gets_the_whole_fee() -> None:
    records = one(
        made_block([made_tx(0, ALICE, BOB, 0, gas_price=11)], base_fee=None),
        made_receipt(0, price=None),
    )
    assert moved(records) == [
        ("fee", "fee", ALICE, -231_000), ("fee_recipient", "fee", MINER, 231_000)
    ]


def test_a_price_below_the_base_fee_is_a_lie() -> None:
    records = one(made_block([made_tx(0, ALICE, BOB, 0)]), made_receipt(0, price=2))
    with pytest.raises(ReplyError, match="base fee"):
        moved(records)


def test_a_receipt_that_is_needed_and_missing_is_named() -> None:
    block = made_block([made_tx(0, ALICE, BOB, 5), made_tx(1, BOB, CAROL, 5)])
    records = one(block, made_receipt(0))
    assert lines(movements(records, {key(ALICE)}, MAINNET)) == [
        ("value", "tx", ALICE, -5), ("fee", "fee", ALICE, -210_000)
    ]
    for watched in (BOB, CAROL, MINER):
        with pytest.raises(ReplyError, match="receipt is missing") as refused:
            movements(records, {key(watched)}, MAINNET)
        assert refused.value.value == tx_hash(1)


def test_withdrawals_come_last_and_in_wei() -> None:
    block = made_block(
        [made_tx(0, ALICE, BOB, 0)], withdrawals=[Withdrawal("0x7b", "0x1", BOB, "0x2")]
    )
    assert moved(one(block, made_receipt(0)))[-1] == (
        "withdrawal", "withdrawal:123", BOB, 2 * 10**9
    )


@pytest.mark.parametrize("place", ["from_", "to", "value", "hash"])
def test_a_malformed_transaction_is_an_error_that_names_it(place: str) -> None:
    tx = made_tx(0, ALICE, BOB, 5)
    setattr(tx, place, "0xnothex")
    receipt = made_receipt(0)
    receipt.transaction_hash = tx.hash
    with pytest.raises(ReplyError, match=r"transactions\[0\]"):
        moved(one(made_block([tx]), receipt))


# -- transfers inside transactions -----------------------------------------------------------------


@pytest.mark.parametrize("case", HEIGHTS)
def test_flat_traces_as_another_project_reads_them(case: str) -> None:
    traces = flat(ETL.format(case, f"web3_response.trace_block_{HEIGHTS[case]}.json"))
    rows = list(csv.DictReader(io.StringIO(
        data_of(ETL.format(case, "expected_traces.csv")).decode()
    )))
    expected: list[Line] = []
    for row in rows:
        value = int(row["value"] or 0)
        if row["trace_type"] == "reward":
            expected.append(("fee_recipient", f"reward:{row['reward_type']}", row["to_address"],
                             value))
        elif row["status"] == "1" and value and row["call_type"] != "callcode":
            path = row["trace_address"].replace(",", ".")
            kind, ref = ("internal", f"trace:{path}") if path else ("value", "tx")
            expected.append((kind, ref, row["from_address"], -value))
            expected.append((kind, ref, row["to_address"], value))
    assert expected
    assert sorted(moved(block_of(traces))) == sorted(expected)


@pytest.mark.parametrize("case", ["create", "error", "subtraces"])
def test_both_forms_of_a_recorded_block_say_the_same(case: str) -> None:
    traces = flat(ETL.format(case, f"web3_response.trace_block_{HEIGHTS[case]}.json"))
    trees = nested(GETH.format(
        case, f"web3_response.debug_traceBlockByNumber_{HEIGHTS[case]}_tracer_calltracer.json"
    ))
    records = block_of(traces)
    kinds = ("value", "internal")
    assert moved(records, *kinds)
    assert moved(copy_of(records, traces=trees), *kinds) == moved(records, *kinds)


def test_an_old_trace_hides_what_a_destroyed_contract_paid() -> None:
    records = block_of(flat(ETL.format("suicide", "web3_response.trace_block_0xf7105.json")))
    trees = nested(GETH.format(
        "suicide", "web3_response.debug_traceBlockByNumber_0xf7105_tracer_calltracer.json"
    ))
    assert [line[1:] for line in moved(records, "internal")] == [
        ("trace:0", "0x474faa5018639791952fae334e2911700ac7fe9b", -50_000_000_000_000_000),
        ("trace:0", "0x83973747eec131bf9a08ac64fb1a518e891bdf4b", 50_000_000_000_000_000),
    ]
    assert moved(copy_of(records, traces=trees), "internal") == []
    assert silent_destructs(records.block, trees) == (records.block.transactions[0].hash,)
    assert silent_destructs(records.block, records.traces or []) == ()


@pytest.mark.parametrize(
    "name", ["trace_block__test_01.json", "trace_block__test_12.json",
             "trace_block__test_20.json.gz", "trace_block__test_26.json.gz"]
)
def test_the_same_frames_nested_say_the_same(name: str) -> None:
    records = block_of(flat(f"rpc/{name}"))
    trees = copy_of(records, traces=trees_of(records))
    assert moved(trees, "value", "internal") == moved(records, "value", "internal")


def test_a_real_blocks_internal_transfers_drop_all_that_was_reverted() -> None:
    traces = flat("rpc/trace_block__test_26.json.gz")
    broken = [trace for trace in traces if trace.error is not None]
    expected = 0
    for trace in traces:
        paid = trace.type == "create" or trace.action.get("callType") == "call"
        if trace.trace_address and paid and not any(
            trace.transaction_hash == bad.transaction_hash
            and trace.trace_address[: len(bad.trace_address)] == bad.trace_address
            for bad in broken
        ):
            expected += int(trace.action["value"], 16)
    found = [line[3] for line in moved(block_of(traces), "internal")]
    assert len(found) > 100
    assert sum(wei for wei in found if wei > 0) == expected == -sum(
        wei for wei in found if wei < 0
    )


def test_withdrawals_listed_as_rewards_are_not_told_again() -> None:
    without = flat("rpc/trace_block__test_26.json.gz")
    given = flat("rpc/trace_block__test_28.json.gz")
    assert len(given) == len(without) + 16
    records = block_of(given)
    assert moved(records) == moved(block_of(without))
    assert moved(records, "fee_recipient", "withdrawal") == []


def test_miners_are_issued_their_rewards_before_the_merge() -> None:
    records = block_of(flat("rpc/trace_block__test_01.json"))
    assert moved(records, "fee_recipient") == [
        ("fee_recipient", "reward:block", "0xea674fdde714fd979de3edf0f56aa9716b898ec8",
         3_093_750_000_000_000_000),
        ("fee_recipient", "reward:uncle:0", "0x5a0b54d5dc17e0aadc383d2db43b0a0d3e029c4c",
         2_625_000_000_000_000_000),
    ]


def test_before_byzantium_the_trace_tells_what_failed() -> None:
    records = block_of(flat(ETL.format("error", "web3_response.trace_block_0xf45bf.json")))
    assert len(moved(records, "value")) == 2
    assert len(moved(copy_of(records, traces=None), "value")) == 4  # assumed


@pytest.mark.parametrize(("name", "expected"), [
    ("46.json.gz", {
        "0x64fc": ["0 401889775031034", "1 39787087728072448", "1.0.0 39787087728072448"],
        "0xc161": ["0.0 420000000000000000"],
        "0x24db": ["0.0 8542857142857140"],
        "0x9686": ["1 108000000000000000"],
    }),  # the frames between are delegated calls that state the value they were called with
    ("48.json", {}),
    ("49.json", {"0xccfa": ["9.0 1765660000000000"]}),  # 2.0 had not the balance
])
def test_replies_of_geths_flat_call_tracer(name: str, expected: dict[str, list[str]]) -> None:
    records = block_of(flat(f"rpc/debug_traceBlockByNumber__test_{name}"))
    found: dict[str, list[str]] = {}
    for move in movements(records, None, MAINNET):
        if move.kind == "internal" and move.amount > 0:
            path = move.ref.removeprefix("trace:")
            found.setdefault(f"0x{move.tx.hex()[:4]}", []).append(f"{path} {move.amount}")
    assert found == expected


@pytest.mark.parametrize(("name", "expected"), [
    ("calldata", []), ("delegatecall", []), ("multilogs", []), ("simple", []),
    ("notopic", [
        # Before it the tree lists four calls of precompiled contracts, which flat traces leave out.
        ("internal", "trace:4", "0x50739060a2c32dc076e507ae1a893aab28ecfe68", -6646973012399700),
        ("internal", "trace:4", "0x88e1315687aec48a72786c6b3b3f075208b62713", 6646973012399700),
    ]),
    ("tx_failed", []),  # 2.3 ether move below the frame that failed
])
def test_recorded_call_trees_of_geth(name: str, expected: list[Line]) -> None:
    recorded = msgspec.json.decode(data_of(f"geth_call_tracer/{name}.json"))
    top = msgspec.convert(recorded["result"], CallFrame)
    tx = made_tx(0, top.from_, top.to, int(str(top.value), 16))
    records = BlockRecords(
        made_block([tx], base_fee=None), [made_receipt(0, status=None)], [],
        [TracedTransaction(top, tx_hash(0))],
    )
    assert moved(records, "internal") == expected
    assert bool(moved(records, "value")) == (name not in ("tx_failed", "delegatecall", "simple"))


def frame(
    path: list[int], kind: str = "call", value: int = 5, *, error: str | None = None,
    sender: str = ALICE, to: str = BOB, call: str = "call",
) -> Trace:
    if kind == "suicide":
        action = {"address": sender, "refundAddress": to, "balance": hex(value)}
    elif kind == "create":
        action = {"from": sender, "value": hex(value), "creationMethod": "create2"}
    else:
        action = {"from": sender, "to": to, "value": hex(value), "callType": call}
    made = {"address": to} if kind == "create" else {}
    return Trace(action, path, kind, transaction_hash=tx_hash(0), error=error, result=made)


def traced(*frames: Trace, cancun: bool = False, status: int = 1) -> BlockRecords:
    block = made_block([made_tx(0, ALICE, BOB, 0)], cancun=cancun)
    return one(block, made_receipt(0, status=status), traces=[frame([], value=0), *frames])


@pytest.mark.parametrize("call", ["delegatecall", "staticcall", "callcode"])
def test_calls_that_keep_the_balance_move_nothing(call: str) -> None:
    assert moved(traced(frame([0], call=call)), "internal") == []
    records = traced(frame([0], call=call))
    assert moved(copy_of(records, traces=trees_of(records)), "internal") == []


def test_everything_below_a_failed_call_is_dropped_and_the_rest_stays() -> None:
    records = traced(
        frame([0], error="Reverted"), frame([0, 0]), frame([0, 0, 1]), frame([1]), frame([10, 0])
    )
    kept = [("internal", ref, who, wei) for ref in ("trace:1", "trace:10.0")
            for who, wei in ((ALICE, -5), (BOB, 5))]
    assert moved(records, "internal") == kept


def test_nothing_moves_inside_a_failed_transaction() -> None:
    assert moved(traced(frame([0]), status=0), "internal") == []
    records = traced(frame([0]))
    broken = copy_of(
        records, traces=[frame([], value=0, error="out of gas"), *(records.traces or [])[1:]]
    )
    assert moved(broken, "internal") == []


@pytest.mark.parametrize("form", ["flat", "nested"])
@pytest.mark.parametrize(("cancun", "made_here", "burnt"), [
    (False, False, True), (False, True, True), (True, False, False), (True, True, True),
])
def test_a_contract_that_pays_itself_when_it_dies(
    form: str, cancun: bool, made_here: bool, burnt: bool
) -> None:
    birth = [frame([0], "create", 0, to=CAROL)] if made_here else [frame([0], value=0)]
    records = traced(
        *birth, frame([1], "suicide", 9, sender=CAROL, to=CAROL),
        frame([2], "suicide", 8, sender=CAROL, to=BOB), cancun=cancun,
    )
    if form == "nested":
        records = copy_of(records, traces=trees_of(records))
    gone = [("internal", "trace:1", CAROL, -9)] if burnt else []
    assert moved(records, "internal") == [
        *gone, ("internal", "trace:2", CAROL, -8), ("internal", "trace:2", BOB, 8)
    ]


def test_calls_of_precompiled_contracts_are_not_counted_in_a_path() -> None:
    records = traced(frame([0]))
    sha256 = CallFrame("STATICCALL", ALICE, "0x" + "00" * 19 + "02")
    [tree] = trees_of(records)
    assert tree.result is not None
    tree.result.calls.insert(0, sha256)
    nested_records = copy_of(records, traces=[tree])
    assert moved(nested_records, "internal") == moved(records, "internal")
    assert moved(records, "internal")


@pytest.mark.parametrize("change", [
    {"action": {"from": ALICE, "to": BOB, "callType": "call"}},
    {"action": {"from": "0xzz", "to": BOB, "value": "0x5", "callType": "call"}},
    {"action": {"from": ALICE, "to": None, "value": "0x5", "callType": "call"}},
    {"action": {"from": ALICE, "to": BOB, "value": "-0x5", "callType": "call"}},
    {"transaction_hash": None},
])
def test_a_malformed_frame_is_an_error_that_names_it(change: dict[str, object]) -> None:
    bad = frame([0, 1])
    for name, value in change.items():
        setattr(bad, name, value)
    with pytest.raises(ReplyError) as refused:
        moved(traced(bad))
    assert "0.1" in str(refused.value.field)


def test_a_transaction_that_the_node_could_not_trace_is_named() -> None:
    records = copy_of(traced(), traces=[TracedTransaction(None, tx_hash(0), "execution timeout")])
    with pytest.raises(ReplyError, match="execution timeout"):
        moved(records)
    with pytest.raises(ReplyError, match="not of this block"):
        moved(copy_of(traced(), traces=[TracedTransaction(CallFrame("CALL"))] * 2))


# -- the table of tokens ---------------------------------------------------------------------------


def test_every_tracked_token_is_an_asset_with_decimals() -> None:
    symbols = {token.symbol for token in MAINNET.tokens}
    assert symbols == set(units.DECIMALS) - {"BTC", "ETH"}
    assert {token.symbol for token in MAINNET.tokens if token.decimals != 18} == {
        "WBTC", "cbBTC", "USDC", "USDT", "aEthWBTC", "aEthUSDC", "aEthUSDT",
        "variableDebtEthUSDC", "variableDebtEthUSDT",
    }


def test_what_holding_a_token_means() -> None:
    by_symbol = MAINNET.by_symbol
    assert {name for name, token in by_symbol.items() if token.wraps_ether} == {"WETH"}
    assert {name for name, token in by_symbol.items() if token.is_debt} == {
        "variableDebtEthWETH", "variableDebtEthUSDC", "variableDebtEthUSDT"
    }
    assert by_symbol["stETH"].rebasing
    assert not by_symbol["wstETH"].rebasing
    assert by_symbol["rETH"].bucket is Bucket.LIQUID_STAKED
    assert by_symbol["aEthUSDC"].bucket is Bucket.LENT
    assert by_symbol["USDC"].bucket is Bucket.LIQUID


def test_tokens_are_found_by_address() -> None:
    assert MAINNET.of(key(WETH)) is MAINNET.by_symbol["WETH"]
    assert MAINNET.of(key(ALICE)) is None


def test_the_addresses_are_those_of_recorded_logs() -> None:
    recorded = {log["address"] for log in result("erigon_getLatestLogs__test_02.json.gz")}
    seen = {MAINNET.by_text[text].symbol for text in recorded & MAINNET.by_text.keys()}
    assert {"WETH", "USDC", "USDT", "DAI"} <= seen


def test_a_token_may_stand_in_the_table_once() -> None:
    weth = Token("WETH", key(WETH))
    for other in (Token("WETH", key(ALICE)), Token("DAI", key(WETH)), Token("DAI", b"\1")):
        with pytest.raises(InputError) as refused:
            AssetTable([weth, other])
        assert refused.value.field is not None
