"""A block that is what its hash says passes; any other is named for what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import rlp

from tests.rpc_replies import recorded, recorded_block, recorded_receipts
from tracker.chains.ethereum.check import check_block, check_header, check_logs, check_receipts
from tracker.chains.ethereum.decode import (
    block_reply,
    header_reply,
    plain_block,
    receipts_reply,
)
from tracker.chains.ethereum.envelope import SealedBlock, SealedHeader, receipt_bytes
from tracker.chains.ethereum.records import Receipt
from tracker.errors import InvalidBlockError

HASH = bytes.fromhex("95b198e154acbfc64109dfd22d8224fe927fd8dfdedfae01587674482ba4baf3")
HEADERS = {
    "eth_getBlockByNumber__test_01.json": 4_306_300,  # before Byzantium
    "eth_getBlockByNumber__test_12.json": 0,
    "eth_getBlockByNumber__test_13.json": 19_665_755,  # Cancun
    "eth_getBlockByHash__test_02.json": 18_000_005,  # Shanghai
    "eth_getBlockByHash__test_07.json": 19_665_756,
}
FULL = {
    "eth_getBlockByNumber__test_02.json.gz": 16_000_000,  # Paris
    "eth_getBlockByNumber__test_04.json.gz": 16_000_001,
    "eth_getBlockByNumber__test_05.json.gz": 16_000_003,
    "eth_getBlockByNumber__test_06.json.gz": 16_000_004,
    "eth_getBlockByNumber__test_07.json.gz": 16_000_005,
    "eth_getBlockByNumber__test_08.json.gz": 18_000_000,
}


def header(answer: dict[str, Any]) -> SealedHeader:
    found = header_reply(json.dumps(answer).encode(), "test")
    assert found is not None
    return found


def block(answer: dict[str, Any]) -> SealedBlock:
    found = block_reply(json.dumps(answer).encode(), "test")
    assert found is not None
    return found


def receipts(answer: list[dict[str, Any]]) -> list[Receipt]:
    found = receipts_reply(json.dumps(answer).encode(), "test")
    assert found is not None
    return found


def refused(check: Callable[[], object], field: str) -> InvalidBlockError:
    with pytest.raises(InvalidBlockError) as caught:
        check()
    assert caught.value.field == field, caught.value
    assert caught.value.mend
    return caught.value


@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_every_recorded_fork_have_their_hash(name: str) -> None:
    answer = recorded(name)
    found = check_header(header(answer), height=HEADERS[name])
    assert "0x" + found.hex() == answer["hash"]


@pytest.mark.parametrize("name", FULL)
def test_whole_blocks_fit_their_hash(name: str) -> None:
    answer = recorded(name)
    check_block(block(answer), asked=bytes.fromhex(answer["hash"][2:]),
                parent=bytes.fromhex(answer["parentHash"][2:]))


def test_receipts_and_logs_of_a_block_fit_it() -> None:
    found = block(recorded_block())
    check_block(found, asked=HASH)
    given = receipts(recorded_receipts())
    check_receipts(found, given)
    check_logs(found, [log for receipt in given for log in receipt.logs])
    assert len(plain_block(found).transactions) == len(given) == 94
    assert len(plain_block(found).withdrawals) == 16


def test_receipts_of_before_byzantium_begin_with_their_state_root() -> None:
    # Block 4,306,306, whose header is not among the records: the form is checked, not the root.
    given = receipts(recorded("eth_getBlockReceipts__test_01.json.gz"))
    assert len(given) == 252
    for receipt in given:
        assert receipt.status is None
        fields = rlp.decode(receipt_bytes(receipt))
        assert "0x" + fields[0].hex() == receipt.root
        assert int.from_bytes(fields[1]) == int(receipt.cumulative_gas_used, 16)
        assert len(fields[3]) == len(receipt.logs)


@pytest.mark.parametrize("field", [
    "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot",
    "logsBloom", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce",
    "baseFeePerGas", "withdrawalsRoot",
])
def test_a_changed_header_field_is_found(field: str) -> None:
    answer = recorded_block()
    text = answer[field]
    answer[field] = text[:-1] + ("1" if text[-1] != "1" else "2")
    refused(lambda: check_block(block(answer), asked=HASH), "header")


def test_another_block_than_asked_for_is_found() -> None:
    other = recorded("eth_getBlockByNumber__test_07.json.gz")
    refused(lambda: check_block(block(other), asked=HASH), "block")
    refused(lambda: check_header(header(other), height=16_000_004), "number")
    refused(lambda: check_header(header(other), parent=HASH), "parentHash")


Change = Callable[[dict[str, Any]], None]


def _set(name: str, value: str, place: int = 40) -> Change:
    def change(answer: dict[str, Any]) -> None:
        assert answer["transactions"][place][name] != value
        answer["transactions"][place][name] = value

    return change


def _swap(answer: dict[str, Any]) -> None:
    txs = answer["transactions"]
    txs[4], txs[5] = txs[5], txs[4]


def _steal(answer: dict[str, Any]) -> None:
    answer["withdrawals"][3]["address"] = "0x" + "11" * 20


def _raise(answer: dict[str, Any]) -> None:
    answer["withdrawals"][3]["amount"] = hex(int(answer["withdrawals"][3]["amount"], 16) + 1)


@pytest.mark.parametrize(("change", "field"), [
    (_set("value", "0x1"), "hash"),
    (_set("to", "0x" + "11" * 20), "hash"),
    (_set("input", "0x00"), "hash"),
    (_set("hash", "0x" + "11" * 32), "hash"),
    (_set("r", "0x5"), "hash"),
    (_set("from", "0x" + "11" * 20), "from"),
    (_set("transactionIndex", "0x29"), "transactionIndex"),
    (_set("type", "0x7e"), "transactions"),
    (_swap, "transactionIndex"),
    (lambda answer: answer["transactions"].pop(), "transactionsRoot"),
    (_steal, "withdrawalsRoot"),
    (_raise, "withdrawalsRoot"),
    (lambda answer: answer["withdrawals"].pop(), "withdrawalsRoot"),
    (lambda answer: answer.pop("withdrawals"), "withdrawalsRoot"),
])
def test_a_forged_transaction_or_withdrawal_is_found(change: Change, field: str) -> None:
    answer = recorded_block()
    change(answer)
    refused(lambda: check_block(block(answer), asked=HASH), field)


def test_withdrawals_before_their_fork_are_found() -> None:
    answer = recorded("eth_getBlockByNumber__test_02.json.gz")
    answer["withdrawals"] = recorded_block()["withdrawals"]
    refused(
        lambda: check_block(block(answer), asked=bytes.fromhex(answer["hash"][2:])), "withdrawals"
    )


def _first_with_logs(answer: list[dict[str, Any]], at_least: int = 2) -> dict[str, Any]:
    return next(receipt for receipt in answer if len(receipt["logs"]) >= at_least)


def _log_amount(answer: list[dict[str, Any]]) -> None:
    log = _first_with_logs(answer)["logs"][0]
    log["data"] = log["data"][:-1] + ("1" if log["data"][-1] != "1" else "2")


@pytest.mark.parametrize(("change", "field"), [
    (_log_amount, "receiptsRoot"),
    (lambda answer: _first_with_logs(answer)["logs"].pop(), "receiptsRoot"),
    (lambda answer: _first_with_logs(answer)["logs"].clear(), "receiptsRoot"),
    (lambda answer: _first_with_logs(answer)["logs"][0].update(address="0x" + "11" * 20),
     "receiptsRoot"),
    (lambda answer: answer[7].update(status="0x0"), "receiptsRoot"),
    (lambda answer: answer.pop(), "receipts"),
    (lambda answer: answer[7].update(gasUsed="0x1"), "gasUsed"),
    (lambda answer: answer[7].update(effectiveGasPrice="0x1"), "effectiveGasPrice"),
    (lambda answer: answer[7].update(transactionHash="0x" + "11" * 32), "transactionHash"),
    (lambda answer: answer[7].update({"from": "0x" + "11" * 20}), "from"),
    (lambda answer: answer[7].update(to="0x" + "11" * 20), "to"),
    (lambda answer: answer[7].update(blockHash="0x" + "11" * 32), "blockHash"),
    (lambda answer: _first_with_logs(answer)["logs"][0].update(logIndex="0x999"), "logIndex"),
    (lambda answer: _first_with_logs(answer)["logs"][0].update(blockHash="0x" + "11" * 32),
     "blockHash"),
    (lambda answer: _first_with_logs(answer)["logs"][0].update(removed=True), "blockHash"),
    (lambda answer: _first_with_logs(answer)["logs"][0].update(
        transactionHash=answer[0]["transactionHash"]), "transactionHash"),
])
def test_a_forged_receipt_is_found(
    change: Callable[[list[dict[str, Any]]], None], field: str
) -> None:
    answer = recorded_receipts()
    change(answer)
    found = block(recorded_block())
    refused(lambda: check_receipts(found, receipts(answer)), field)


def test_a_created_contract_has_the_address_of_its_maker() -> None:
    answer = recorded_receipts()
    maker = next(receipt for receipt in answer if receipt["contractAddress"] is not None)
    check_receipts(block(recorded_block()), receipts(answer))
    maker["contractAddress"] = "0x" + "11" * 20
    refused(lambda: check_receipts(block(recorded_block()), receipts(answer)), "contractAddress")


def test_truncated_logs_without_receipts_are_found() -> None:
    found = block(recorded_block())
    logs = [log for receipt in receipts(recorded_receipts()) for log in receipt.logs]
    refused(lambda: check_logs(found, logs[: len(logs) // 2]), "logsBloom")
    refused(lambda: check_logs(found, []), "logsBloom")
    refused(lambda: check_logs(found, logs[:5] + logs[6:]), "logIndex")


def test_another_spelling_of_the_same_bytes_is_refused_or_made_one() -> None:
    answer = recorded_receipts()
    log = next(log for receipt in answer for log in receipt["logs"] if len(log["topics"]) > 1)
    address = log["address"]
    log["address"] = "0x" + address[2:].upper()
    again = receipts(answer)
    check_receipts(block(recorded_block()), again)
    assert address in {log.address for receipt in again for log in receipt.logs}
    log["topics"][1] = "0x" + log["topics"][1][2:].upper()
    refused(lambda: check_receipts(block(recorded_block()), receipts(answer)), "receipts")


def test_a_hash_in_the_records_is_the_one_that_was_read() -> None:
    assert "0x" + HASH.hex() == recorded_block()["hash"]
