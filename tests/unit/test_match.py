"""Movements of watched scripts from scanned transactions."""

from __future__ import annotations

import pytest

from tracker.domain.match import Coin, ScannedTx, TxIn, TxOut, match, outpoint_of
from tracker.errors import InvalidBlockError

OURS, OTHERS = b"\x00\x14" + b"\x01" * 20, b"\x00\x14" + b"\x02" * 20
EARLIER = outpoint_of(b"\xee" * 32, 3)


def tx(
    position: int, txid: bytes, inputs: list[bytes], outputs: list[tuple[int, bytes]]
) -> ScannedTx:
    return ScannedTx(
        position, txid, position == 0,
        tuple(TxIn(index, outpoint, None) for index, outpoint in enumerate(inputs)),
        tuple(TxOut(index, amount, script) for index, (amount, script) in enumerate(outputs)),
    )


def test_an_outpoint_is_the_wire_form() -> None:
    txid = bytes(range(32))
    assert outpoint_of(txid, 258) == txid[::-1] + b"\x02\x01\x00\x00"


def test_inputs_outputs_and_coinbase_are_told_apart() -> None:
    reward = tx(0, b"\xaa" * 32, [b"\0" * 36], [(50, OURS), (0, b"\x6a")])
    payment = tx(7, b"\xbb" * 32, [EARLIER, b"\x09" * 36], [(30, OTHERS), (9, OURS)])
    found = match([reward, payment], {OURS}, {EARLIER: Coin(OURS, 40)})
    assert [(move.ref, move.kind, move.amount) for move in found] == [
        ("vout:0", "coinbase_output", 50), ("vin:0", "input", -40), ("vout:1", "output", 9),
    ]
    assert found[1].outpoint == EARLIER
    assert found[2].outpoint == outpoint_of(b"\xbb" * 32, 1)
    assert {move.script for move in found} == {OURS}


def test_a_coin_made_and_spent_in_one_block_is_both() -> None:
    made = tx(1, b"\xbb" * 32, [b"\x09" * 36], [(30, OURS)])
    gone = tx(2, b"\xcc" * 32, [outpoint_of(b"\xbb" * 32, 0)], [(29, OTHERS)])
    assert [move.amount for move in match([made, gone], {OURS}, {})] == [30, -30]


def test_a_double_spend_is_an_invalid_block() -> None:
    first = tx(1, b"\xbb" * 32, [EARLIER], [(30, OTHERS)])
    second = tx(2, b"\xcc" * 32, [EARLIER], [(30, OTHERS)])
    with pytest.raises(InvalidBlockError, match="spent twice") as caught:
        match([first, second], {OURS}, {EARLIER: Coin(OURS, 40)})
    assert caught.value.field == "tx 2 vin:0"
