"""Multicall3's calldata, by hand against the reference coder."""

from __future__ import annotations

import eth_abi
import pytest
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st

from tracker.chains.ethereum import multicall
from tracker.chains.port import Probe
from tracker.errors import ReplyError

addresses = st.binary(min_size=20, max_size=20)


@given(st.lists(st.tuples(addresses, st.binary(max_size=70)), max_size=8))
def test_calldata_is_what_the_reference_coder_writes(calls: list[tuple[bytes, bytes]]) -> None:
    selector = keccak(text="aggregate3((address,bool,bytes)[])")[:4]
    due = eth_abi.encode(
        ["(address,bool,bytes)[]"], [[(target, True, data) for target, data in calls]]
    )
    assert multicall.encode(calls) == selector + due


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=70)), max_size=8))
def test_results_are_read_as_the_reference_coder_writes_them(
    results: list[tuple[bool, bytes]]
) -> None:
    data = eth_abi.encode(["(bool,bytes)[]"], [results])
    found = multicall.decode(data, len(results), "test")
    assert found == [returned if worked else None for worked, returned in results]


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=40)), min_size=1, max_size=4),
       st.data())
def test_cut_results_are_refused(results: list[tuple[bool, bytes]], data: st.DataObject) -> None:
    whole = eth_abi.encode(["(bool,bytes)[]"], [results])
    padding = -len(results[-1][1]) % 32
    cut = data.draw(st.integers(0, len(whole) - padding - 1))
    with pytest.raises(ReplyError):
        multicall.decode(whole[:cut], len(results), "test")


@given(st.binary(max_size=300))
def test_anything_else_is_refused_or_read_but_never_breaks(data: bytes) -> None:
    try:
        found = multicall.decode(data, 2, "test")
    except ReplyError:
        return
    assert len(found) == 2


def test_another_number_of_results_is_refused() -> None:
    data = eth_abi.encode(["(bool,bytes)[]"], [[(True, b"x")]])
    with pytest.raises(ReplyError, match="2 calls with 1 results"):
        multicall.decode(data + bytes(640), 2, "test")


def test_selectors_and_places_of_the_two_balances() -> None:
    key, token = b"\x11" * 20, b"\x22" * 20
    assert multicall.balance_call(Probe(key, None)) == (
        multicall.ADDRESS, bytes.fromhex("4d2301cc") + bytes(12) + key
    )
    assert multicall.balance_call(Probe(key, token)) == (
        token, bytes.fromhex("70a08231") + bytes(12) + key
    )


@pytest.mark.parametrize(("returned", "due"), [
    (None, None), (b"", None), (b"\x01", None), (bytes(31) + b"\x05", 5), (bytes(32), 0),
    (b"\xff" * 32, 2**256 - 1), (bytes(31) + b"\x05" + bytes(32), 5),
])
def test_a_balance_is_a_whole_word_or_none(returned: bytes | None, due: int | None) -> None:
    assert multicall.amount(returned) == due
