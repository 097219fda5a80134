"""`tracker inspect ethereum`: the answers files to the wei, forms of files, refusals."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from tests.data import shared_data
from tests.ethereum_records import (
    ALICE,
    BLOCK_HASH,
    BOB,
    WETH,
    answers,
    data_of,
    made_block,
    made_receipt,
    made_tx,
    nested,
    result,
    transfer,
)
from tracker.chains.ethereum.address import checksummed
from tracker.cli.inspect import app

WITHDRAWER = "0xd7A0b38496064412A8d6B1F77BC30aDA93E7b7A5"
ROUTER = "0x3fC91A3afd70395Cd496C647d5a6CC9D4B2b7FAD"
STAKER = "0x30AA36505E30b23DcF95571491de7e57a7E4d3eF"
HASH_18M = "0x95b198e154acbfc64109dfd22d8224fe927fd8dfdedfae01587674482ba4baf3"
runner = CliRunner()


def rpc(name: str) -> str:
    return str(shared_data() / "ethereum" / "rpc" / name)


def block_18m() -> list[str]:
    return [
        "--block", rpc("eth_getBlockByNumber__test_08.json.gz"),
        "--receipts", rpc("eth_getBlockReceipts__test_02.json.gz"),
    ]


def run(*arguments: str) -> dict[str, Any]:
    answer = runner.invoke(app, ["ethereum", "--json", *arguments])
    assert answer.exit_code == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def refused(*arguments: str) -> str:
    answer = runner.invoke(app, ["ethereum", "--json", *arguments])
    assert answer.exit_code == 2, answer.output
    assert answer.stdout == ""
    assert "field: " in answer.stderr
    assert "mend: " in answer.stderr
    return answer.stderr


def watch_all(folder: Path, addresses: list[str]) -> str:
    path = folder / "watch.txt"
    path.write_text("# all of them\n\n" + "\n".join(f"{text}  # one" for text in addresses))
    return str(path)


def written(folder: Path, name: str, value: Any) -> str:
    path = folder / name
    path.write_bytes(value if isinstance(value, bytes) else msgspec.json.encode(value))
    return str(path)


def made(folder: Path, *, traces: Any = None) -> list[str]:
    """A block of one payment of 5 wei with a log, in files."""
    log = transfer(0, ALICE, BOB, 7)
    receipt = made_receipt(0, logs=[log])
    block = made_block([made_tx(0, ALICE, BOB, 5)], gas_used=21_000)
    files = [
        "--block", written(folder, "block", {"result": block}),
        "--receipts", written(folder, "receipts", {"result": [receipt]}),
    ]
    if traces is not None:
        files += ["--traces", written(folder, "traces", {"result": traces})]
    return files


# -- block 18000000 --------------------------------------------------------------------------------


def test_the_net_flow_of_every_address(tmp_path: Path) -> None:
    known: dict[str, str] = answers("eth_18000000")["toplevel_net_flow_wei"]
    found = run(*block_18m(), "--watch-file", watch_all(tmp_path, list(known)))
    liquid = {
        total["address"].lower(): total for total in found["totals"]
        if (total["asset"], total["bucket"]) == ("ETH", "liquid")
    }
    assert {address: total["net"] for address, total in liquid.items()} == known
    assert all(
        int(total["received"]) - int(total["spent"]) == int(total["net"])
        for total in found["totals"]
    )
    moved = dict.fromkeys(liquid, 0)
    for move in found["movements"]:
        if move["asset"] == "ETH":
            moved[move["address"].lower()] += int(move["amount"])
    assert {address: str(wei) for address, wei in moved.items()} == known


def test_the_shape_of_the_contract() -> None:
    found = run(*block_18m(), "--watch", WITHDRAWER.lower(), "--watch", f" {WITHDRAWER} ")
    movements = found.pop("movements")
    assert found == {
        "chain": "ethereum", "network": "mainnet", "height": 18_000_000, "hash": HASH_18M,
        "time": "2023-08-26T16:21:35Z", "internal": None,
        "reason": "transfers inside transactions are unknown without --traces",
        "totals": [{
            "address": WITHDRAWER, "asset": "ETH", "bucket": "liquid",
            "received": "285023241000000000", "spent": "0", "net": "285023241000000000",
        }],
    }
    assert len(movements) == 16
    assert movements[0] == {
        "address": WITHDRAWER, "asset": "ETH", "amount": "15404368000000000", "tx": None,
        "ref": "withdrawal:15440780", "kind": "withdrawal", "bucket": "liquid",
        "counterparty": None,
    }


def test_tokens_have_totals_of_their_own() -> None:
    found = run(*block_18m(), "--watch", ROUTER)
    by_asset = {total["asset"]: total for total in found["totals"]}
    wrapped = [
        int(move["amount"]) for move in found["movements"] if move["asset"] == "WETH"
    ]
    assert int(by_asset["WETH"]["net"]) == sum(wrapped)
    assert int(by_asset["WETH"]["received"]) == sum(wei for wei in wrapped if wei > 0) > 0
    assert {move["kind"] for move in found["movements"] if move["asset"] == "WETH"} == {
        "erc20_transfer", "wrap", "unwrap"
    }
    assert {
        move["counterparty"] for move in found["movements"] if move["kind"] == "wrap"
    } == {checksummed(bytes.fromhex(WETH[2:]))}


def test_logs_beside_the_receipts_confirm_them(tmp_path: Path) -> None:
    alone = run(*block_18m(), "--watch", ROUTER)
    # Erigon counts these logs from 0 in every transaction; the receipts' numbers are the block's.
    latest = rpc("erigon_getLatestLogs__test_02.json.gz")
    assert run(*block_18m(), "--logs", latest, "--watch", ROUTER) == alone
    logs = result("erigon_getLatestLogs__test_02.json.gz")
    logs[3]["data"] = "0x" + "00" * 31 + "07"
    assert "--logs item 3" in refused(
        *block_18m(), "--logs", written(tmp_path, "logs", logs), "--watch", ROUTER
    )
    assert "two logs of one number" in refused(
        *block_18m()[:2], "--logs", latest, "--watch", ROUTER
    )


def test_logs_take_the_place_of_receipts_that_have_none(tmp_path: Path) -> None:
    alone = run(*block_18m(), "--watch", ROUTER)
    receipts = result("eth_getBlockReceipts__test_02.json.gz")
    logs = [log for receipt in receipts for log in receipt["logs"]]
    bare = [{**receipt, "logs": []} for receipt in receipts]
    files = [
        *block_18m()[:2], "--receipts", written(tmp_path, "receipts", bare),
        "--logs", written(tmp_path, "logs", logs),
    ]
    assert run(*files, "--watch", ROUTER) == alone


def test_for_people() -> None:
    answer = runner.invoke(app, ["ethereum", *block_18m(), "--watch", WITHDRAWER])
    assert answer.exit_code == 0
    for text in (
        "block 18000000", "2023-08-26 16:21:35 UTC", WITHDRAWER, "0.015404368",
        "withdrawal:15440780", "0.285023241",
        "Not shown: transfers inside transactions are unknown without --traces.",
    ):
        assert text in answer.stdout


# -- logs alone ------------------------------------------------------------------------------------


def test_deposits_are_read_from_logs_alone() -> None:
    known = answers("deposit_contract_17502386_17502387")["deposits"]
    ours = [row for row in known if row["withdrawal_credentials"].endswith(STAKER[2:].lower())]
    assert ours
    found = run("--receipts", rpc("eth_getLogs__test_02.json.gz"), "--watch", STAKER)
    assert (found["height"], found["time"], found["internal"]) == (17_502_386, None, None)
    assert "without --block" in found["reason"]
    assert [
        (move["tx"], move["ref"], int(move["amount"]), move["kind"], move["bucket"])
        for move in found["movements"]
    ] == [
        (row["tx"], f"log:{row['log_index']}", row["amount_gwei"] * 10**9, "stake_deposit",
         "pending_deposit")
        for row in ours
    ]
    ether, pending = found["totals"]
    assert (ether["bucket"], ether["received"], ether["spent"], ether["net"]) == (
        "liquid", None, None, None
    )
    assert ether["reason"]
    assert (pending["bucket"], pending["net"]) == (
        "pending_deposit", str(len(ours) * 32 * 10**18)
    )


def test_a_deposit_that_names_no_address_is_still_shown(tmp_path: Path) -> None:
    log = result("eth_getLogs__test_02.json.gz")[0]
    log["data"] = log["data"].replace(f"01{'00' * 11}30aa36", f"00{'00' * 11}30aa36")
    logs = written(tmp_path, "logs", [log])
    found = run("--receipts", logs, "--watch", STAKER)
    assert found["movements"] == []
    [shown] = found["deposits_without_address"]
    assert (shown["ref"], shown["amount"]) == ("log:56", "32000000000000000000")
    assert shown["pubkey"].startswith("0x9579442bc66a")
    answer = runner.invoke(app, ["ethereum", "--receipts", logs, "--watch", STAKER])
    assert "credentials name no address" in answer.stdout


def test_logs_of_several_blocks_need_a_height() -> None:
    logs = ["--receipts", rpc("eth_getLogs__test_06.json")]
    said = refused(*logs, "--watch", WETH)
    assert "14000000, 14000001, 14000002" in said
    assert "--height" in said
    assert "use one of" in refused(*logs, "--watch", WETH, "--height", "7")
    recorded = result("eth_getLogs__test_06.json")
    sender = next(
        log["topics"][1] for log in recorded
        if log["blockNumber"] == hex(14_000_001) and log["address"] == WETH
        and log["topics"][0].startswith("0xddf252ad")
    )
    found = run(*logs, "--watch", f"0x{sender[26:]}", "--height", "14000001")
    assert found["height"] == 14_000_001
    at = {int(log["logIndex"], 16) for log in recorded if log["blockNumber"] == hex(14_000_001)}
    refs = {int(move["ref"].removeprefix("log:")) for move in found["movements"]}
    assert refs
    assert refs <= at


def test_logs_with_the_block_give_its_time_and_withdrawals(tmp_path: Path) -> None:
    logs = [
        log for receipt in result("eth_getBlockReceipts__test_02.json.gz")
        for log in receipt["logs"]
    ]
    found = run(
        *block_18m()[:2], "--receipts", written(tmp_path, "logs", logs), "--watch", WITHDRAWER
    )
    assert found["time"] == "2023-08-26T16:21:35Z"
    assert len(found["movements"]) == 16
    assert found["totals"][0]["net"] is None
    assert "receipts" in found["reason"]


# -- traces ----------------------------------------------------------------------------------------


def frames(**more: Any) -> list[dict[str, Any]]:
    common = {"transactionHash": f"0x{1:064x}", "transactionPosition": 0, "blockHash": BLOCK_HASH}
    common |= more
    top = {"from": ALICE, "to": BOB, "value": "0x5", "callType": "call"}
    inner = {"from": BOB, "to": ALICE, "value": "0x2", "callType": "call"}
    return [
        {"action": top, "type": "call", "traceAddress": [], "result": None, **common},
        {"action": inner, "type": "call", "traceAddress": [0], "result": None, **common},
    ]


def tree(**more: Any) -> list[dict[str, Any]]:
    inner = {"type": "CALL", "from": BOB, "to": ALICE, "value": "0x2"}
    top = {"type": "CALL", "from": ALICE, "to": BOB, "value": "0x5", "calls": [inner]}
    return [{"result": top, **more}]


@pytest.mark.parametrize("form", ["flat", "nested", "nested, named", "flatCallTracer"])
def test_internal_transfers_from_each_form_of_traces(form: str, tmp_path: Path) -> None:
    traces = {
        "flat": frames(), "nested": tree(), "nested, named": tree(txHash=f"0x{1:064x}"),
        "flatCallTracer": [{"txHash": f"0x{1:064x}", "result": frames()}],
    }[form]
    found = run(*made(tmp_path, traces=traces), "--watch", ALICE)
    assert found["internal"] == "traces"
    assert "reason" not in found
    assert [
        (move["kind"], move["ref"], move["amount"]) for move in found["movements"]
    ] == [
        ("value", "tx", "-5"), ("internal", "trace:0", "2"), ("erc20_transfer", "log:0", "-7"),
        ("fee", "fee", "-210000"),
    ]
    assert found["totals"][0]["net"] == "-210003"


def test_a_trace_that_hides_an_amount_leaves_internal_transfers_unknown(tmp_path: Path) -> None:
    traces = tree()
    traces[0]["result"]["calls"] = [{"type": "SELFDESTRUCT"}]
    found = run(*made(tmp_path, traces=traces), "--watch", ALICE)
    assert found["internal"] is None
    assert "destroyed themselves" in found["reason"]


@pytest.mark.parametrize(("traces", "message"), [
    (frames(blockHash="0x" + "77" * 32), "of another block"),
    (frames(transactionHash="0x" + "77" * 32), "of another transaction"),
    (frames(transactionPosition=1), "of another transaction"),
    (tree(txHash="0x" + "77" * 32), "of another transaction"),
    (tree() * 2, "not as many traced"),
    ([], "not as many traced"),
])
def test_traces_of_another_block_are_refused(
    traces: list[dict[str, Any]], message: str, tmp_path: Path
) -> None:
    assert message in refused(*made(tmp_path, traces=traces), "--watch", ALICE)


def test_real_call_trees_are_read_whole() -> None:
    trees = nested(
        "ethereum_etl/test_extract_geth_traces_job__block_with_subtraces__"
        "web3_response.debug_traceBlockByNumber_0xf4240_tracer_calltracer.json"
    )
    assert [len(traced.result.calls) for traced in trees if traced.result] == [1, 0]


# -- forms of files --------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["bare", "result", "reply", "recorded", "batch"])
def test_every_form_of_the_files_gives_the_same(
    form: str, packed: bool, tmp_path: Path
) -> None:
    wrap: Callable[[Any], Any] = {
        "bare": lambda value: value,
        "result": lambda value: {"result": value},
        "reply": lambda value: {"jsonrpc": "2.0", "id": 1, "result": value},
        "recorded": lambda value: [{"request": {}, "response": {"id": 1, "result": value,
                                                                "jsonrpc": "2.0"}}],
        "batch": lambda value: [{"jsonrpc": "2.0", "id": 1, "result": value}],
    }[form]
    files = []
    for option, name in (("--block", "eth_getBlockByNumber__test_08.json.gz"),
                         ("--receipts", "eth_getBlockReceipts__test_02.json.gz")):
        data = json.dumps(wrap(result(name))).encode()
        files += [option, written(tmp_path, option[2:], gzip.compress(data) if packed else data)]
    assert run(*files, "--watch", ROUTER) == run(*block_18m(), "--watch", ROUTER)


def test_receipts_may_come_one_a_reply(tmp_path: Path) -> None:
    replies = [
        {"jsonrpc": "2.0", "id": place, "result": receipt}
        for place, receipt in enumerate(result("eth_getBlockReceipts__test_02.json.gz"))
    ]
    files = [*block_18m()[:2], "--receipts", written(tmp_path, "receipts", replies)]
    assert run(*files, "--watch", ROUTER) == run(*block_18m(), "--watch", ROUTER)


# -- refusals --------------------------------------------------------------------------------------


def test_receipts_of_another_block_are_refused(tmp_path: Path) -> None:
    other = ["--block", rpc("eth_getBlockByNumber__test_02.json.gz")]
    said = refused(*other, *block_18m()[2:], "--watch", ROUTER)
    assert "not as many receipts" in said
    assert "211" in said
    receipts = result("eth_getBlockReceipts__test_02.json.gz")
    swapped = written(tmp_path, "swapped", [receipts[1], receipts[0], *receipts[2:]])
    said = refused(*block_18m()[:2], "--receipts", swapped, "--watch", ROUTER)
    assert "of another transaction" in said
    assert "item 0" in said
    for name, value, message in (
        ("blockHash", "0x" + "77" * 32, "of another block"),
        ("cumulativeGasUsed", "0x1", "does not add up"),
        ("gasUsed", "0x1", "does not add up"),
        ("logs", receipts[0]["logs"], "numbered"),
    ):
        changed = [*receipts[:5], {**receipts[5], name: value}, *receipts[6:]]
        path = written(tmp_path, "changed", changed)
        said = refused(*block_18m()[:2], "--receipts", path, "--watch", ROUTER)
        assert message in said
        assert "item 5" in said


def test_a_gas_that_is_not_the_blocks_is_refused(tmp_path: Path) -> None:
    block = result("eth_getBlockByNumber__test_08.json.gz") | {"gasUsed": "0x1"}
    path = written(tmp_path, "block", block)
    assert "the block's gas" in refused("--block", path, *block_18m()[2:], "--watch", ROUTER)


def test_a_block_of_hashes_only_is_refused() -> None:
    said = refused(
        "--block", rpc("eth_getBlockByNumber__test_13.json"), *block_18m()[2:], "--watch", ROUTER
    )
    assert "full block" in said
    assert "--block" in said


def test_a_height_that_is_not_the_blocks_is_refused() -> None:
    assert "--height" in refused(*block_18m(), "--watch", ROUTER, "--height", "17999999")
    found = run(*block_18m(), "--watch", ROUTER, "--height", "18000000")
    assert found["height"] == 18_000_000


def test_bad_addresses_are_named_one_by_one(tmp_path: Path) -> None:
    assert "--watch" in refused(*block_18m())
    assert "checksum" in refused(*block_18m(), "--watch", ROUTER[:-1] + "d")
    watch = tmp_path / "watch"
    watch.write_text(f"{ROUTER}\nnonsense\n0x12\nvitalik.eth\n")
    said = refused(*block_18m(), "--watch-file", str(watch))
    for line in (2, 3, 4):
        assert f"--watch-file line {line}" in said


def test_receipts_alone_and_a_block_alone_are_not_enough(tmp_path: Path) -> None:
    assert "--block" in refused(*block_18m()[2:], "--watch", ROUTER)
    assert "--receipts" in refused(*block_18m()[:2], "--watch", ROUTER)
    assert "no log names a block" in refused(
        "--logs", written(tmp_path, "logs", []), "--watch", ROUTER
    )
    logs = rpc("eth_getLogs__test_02.json.gz")
    assert "two files of logs" in refused("--receipts", logs, "--logs", logs, "--watch", ROUTER)


@pytest.mark.parametrize("option", ["--block", "--receipts", "--logs", "--traces"])
@pytest.mark.parametrize(("data", "message"), [
    (b"", "not valid JSON"),
    (b"<html><body>Too many requests</body></html>", "not valid JSON"),
    (b'{"jsonrpc":"2.0","id":1,"result":nu', "not valid JSON"),
    (b"\xff\xfe\x00", "not valid JSON"),
    (b"[" * 5000, "not valid JSON"),
    (b"\x1f\x8b\x08broken", "cannot be read"),
    (b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"pruned"}}', "pruned"),
    (b'{"jsonrpc":"2.0","id":1,"result":null}', "in the file"),
    (b'{"result": 5}', "in the file"),
    (b'[{"result": {"transactions": [{"value": 5}]}, "jsonrpc": "2.0"}]', "not what a node"),
])
def test_a_file_that_is_no_answer_is_refused(
    option: str, data: bytes, message: str, tmp_path: Path
) -> None:
    files = dict(zip(block_18m()[::2], block_18m()[1::2], strict=True))
    files[option] = written(tmp_path, "bad", data)
    said = refused(*(text for pair in files.items() for text in pair), "--watch", ROUTER)
    assert message in said
    assert f"field: {option}" in said  # and the item in it, where one is to blame


def test_a_file_that_is_cut_or_not_there_is_refused(tmp_path: Path) -> None:
    whole = data_of("rpc/eth_getBlockReceipts__test_02.json.gz")
    path = written(tmp_path, "cut", whole[: len(whole) // 2])
    assert "not valid JSON" in refused(
        *block_18m()[:2], "--receipts", path, "--watch", ROUTER
    )
    path = written(tmp_path, "cut.gz", gzip.compress(whole)[:-1000])
    assert "cannot be read" in refused(*block_18m()[:2], "--receipts", path, "--watch", ROUTER)
    assert "cannot be read" in refused(
        "--block", str(tmp_path / "none"), *block_18m()[2:], "--watch", ROUTER
    )


@pytest.mark.parametrize(("place", "value"), [
    ("from", "0xnothex"), ("to", "0x12"), ("value", "12"), ("value", "0x-1"),
])
def test_malformed_hexadecimal_is_refused_wherever_it_stands(
    place: str, value: str, tmp_path: Path
) -> None:
    block = result("eth_getBlockByNumber__test_08.json.gz")
    block["transactions"][40][place] = value
    path = written(tmp_path, "block", block)
    said = refused("--block", path, *block_18m()[2:], "--watch", WITHDRAWER)
    assert "transactions[40]" in said
