"""scantxoutset of a node that is slow, busy, aborted or odd; its progress and its end."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.rpc_node import RpcError, rpc_node
from tracker.chains.bitcoin.core import CoreSource
from tracker.domain.chain import Tip
from tracker.domain.match import HeldCoin, outpoint_of
from tracker.errors import ReplyError, SourceUnavailableError

SCRIPT = bytes.fromhex("0014" + "11" * 20)
TXID, BLOCK = bytes(range(32)), bytes([7] * 32)
COIN = {
    "txid": TXID.hex(), "vout": 3, "scriptPubKey": SCRIPT.hex(), "desc": "raw(…)#…",
    "amount": 20999999.9769, "coinbase": True, "height": 900,
}


def result(**changes: object) -> dict[str, Any]:
    return {
        "success": True, "txouts": 9, "height": 1000, "bestblock": BLOCK.hex(),
        "unspents": [COIN], "total_amount": 1.0, **changes,
    }


class Scans:
    """A node that scans until it is told to end: its answers to the three actions."""

    def __init__(self) -> None:
        self.done, self.started, self.aborted = (threading.Event() for _ in range(3))
        self.progress = 10

    def __call__(self, method: str, params: list[Any]) -> Any:
        assert method == "scantxoutset"
        if params[0] == "start":
            self.started.set()
            assert self.done.wait(10)
            return {"success": False} if self.aborted.is_set() else result()
        if params[0] == "status":
            self.progress += 40
            return {"progress": self.progress}
        self.aborted.set()
        self.done.set()
        return True


def test_a_result_becomes_a_snapshot_to_the_last_satoshi() -> None:
    with rpc_node(lambda method, params: result()) as node:
        found = CoreSource(node.client).snapshot([SCRIPT, b"\x51", SCRIPT])
        assert node.asked == [
            ("scantxoutset", ["start", [f"raw({SCRIPT.hex()})", "raw(51)"]]),
        ]
        assert CoreSource(node.client).balance([SCRIPT]) == (
            Tip(1000, BLOCK), {SCRIPT: 2_099_999_997_690_000},
        )
    assert found.tip == Tip(1000, BLOCK)
    assert found.coins == {
        SCRIPT: (HeldCoin(outpoint_of(TXID, 3), 2_099_999_997_690_000, 900, coinbase=True),),
        b"\x51": (),
    }


def test_a_node_before_core_25_does_not_tell_coinbase_coins() -> None:
    old = {name: value for name, value in COIN.items() if name != "coinbase"}
    with rpc_node(lambda method, params: result(unspents=[old])) as node:
        found = CoreSource(node.client).snapshot([SCRIPT])
    assert found.coins[SCRIPT][0].coinbase is None


def test_progress_is_asked_on_a_second_connection_until_the_end() -> None:
    scans = Scans()
    told: list[float] = []

    def hear(share: float) -> None:
        told.append(share)
        if share >= 0.9:
            scans.done.set()

    with rpc_node(scans) as node:
        found = CoreSource(node.client, poll_seconds=0.02).snapshot([SCRIPT], hear)
    assert told == [0.5, 0.9, 1.0]
    assert len(found.coins[SCRIPT]) == 1
    assert not scans.aborted.is_set()


def test_progress_that_raises_aborts_the_scan() -> None:
    class StopError(Exception):
        pass

    def stop(_: float) -> None:
        raise StopError

    scans = Scans()
    with rpc_node(scans) as node, pytest.raises(StopError):
        CoreSource(node.client, poll_seconds=0.02).snapshot([SCRIPT], stop)
    assert scans.aborted.is_set()


def test_a_scan_that_outlasts_the_deadline_is_aborted_and_the_patient_client_waits() -> None:
    scans = Scans()
    with rpc_node(scans) as node:
        hasty = CoreSource(node.client, patient=lambda: node.client(0.3), poll_seconds=0.05)
        began = time.monotonic()
        with pytest.raises(SourceUnavailableError):
            hasty.snapshot([SCRIPT])
        assert time.monotonic() - began < 5
        assert scans.aborted.wait(5)
    scans = Scans()
    threading.Timer(0.6, scans.done.set).start()
    with rpc_node(scans) as node:
        patient = CoreSource(lambda: node.client(0.3), patient=lambda: node.client(10))
        assert len(patient.snapshot([SCRIPT]).coins[SCRIPT]) == 1


def test_somebody_else_s_scan_is_waited_for_and_left_alone() -> None:
    def busy(method: str, params: list[Any]) -> Any:
        raise RpcError(-8, 'Scan already in progress, use action "abort" or "status"')

    with rpc_node(busy) as node:
        with pytest.raises(SourceUnavailableError, match="somebody else"):
            CoreSource(node.client).snapshot([SCRIPT])
        assert [params[0] for _, params in node.asked] == ["start"]


def test_a_scan_that_somebody_aborted_is_tried_again_later() -> None:
    with (
        rpc_node(lambda method, params: {"success": False}) as node,
        pytest.raises(SourceUnavailableError, match="aborted"),
    ):
        CoreSource(node.client).snapshot([SCRIPT])


@pytest.mark.parametrize(
    "answer",
    [None, 7, result(height=-1), result(height=True), result(bestblock="zz"),
     result(unspents=None), result(unspents=[7]),
     *(result(unspents=[{**COIN, **change}]) for change in (
         {"txid": "zz"}, {"txid": "00"}, {"vout": -1}, {"vout": True}, {"vout": 1 << 32},
         {"amount": "1"}, {"amount": -1.0}, {"amount": 0.000000001}, {"amount": 21000001},
         {"scriptPubKey": "51"}, {"scriptPubKey": None}, {"height": 1001}, {"height": None},
         {"coinbase": "no"},
     ))],
)
def test_results_that_are_none(answer: object) -> None:
    with rpc_node(lambda method, params: answer) as node, pytest.raises(ReplyError):
        CoreSource(node.client).snapshot([SCRIPT])
