"""A Core node's scan of its whole set of unspent outputs (`scantxoutset`), with progress.

Source: Bitcoin Core, src/rpc/blockchain.cpp. The node answers when it is done, after minutes on
mainnet, and runs one scan at a time; how far it is, only a second connection can ask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from decimal import Decimal
from typing import Any

from tracker.chains.bitcoin.rpc import CoreRpc, ScanBusyError, satoshi
from tracker.chains.check import hash_reply, height_reply
from tracker.chains.http import HttpClient
from tracker.domain.chain import Tip
from tracker.domain.coins import UtxoSnapshot
from tracker.domain.match import HeldCoin, outpoint_of
from tracker.errors import InputError, ReplyError, SourceUnavailableError, TrackerError
from tracker.log import get_logger, mask

PROGRESS_SECONDS = 1.0
# Some 350 bytes a coin: 700,000 coins.
_MAX_RESULT_BYTES = 256_000_000

log = get_logger(__name__)

Progress = Callable[[float], None]


class UtxoScan:
    """Scans of one node. `patient` opens clients that wait for the answer, `connect` others."""

    def __init__(
        self, connect: Callable[[], HttpClient], patient: Callable[[], HttpClient], *,
        poll_seconds: float = PROGRESS_SECONDS,
    ) -> None:
        self._connect = connect
        self._patient = patient
        self._poll_seconds = poll_seconds

    def run(self, scripts: Sequence[bytes], progress: Progress | None = None) -> UtxoSnapshot:
        """What `scripts` hold at the node's tip.

        `progress` hears shares from 0 to 1, in the caller's thread; what it raises ends the scan.
        Raises `SourceUnavailableError` where the node is busy with another scan, or the client's
        deadline passes: the scan is then aborted, so that the next try finds the node free.
        """
        wanted = tuple(dict.fromkeys(scripts))
        with closing(CoreRpc(self._patient)) as rpc, closing(CoreRpc(self._connect)) as second:
            return _snapshot(rpc, wanted, self._result(rpc, second, wanted, progress))

    def _result(
        self, rpc: CoreRpc, second: CoreRpc, scripts: Sequence[bytes], progress: Progress | None
    ) -> Any:
        objects = [f"raw({script.hex()})" for script in scripts]
        with ThreadPoolExecutor(1, thread_name_prefix="scantxoutset") as pool:
            future: Future[Any] = pool.submit(
                rpc.call, "scantxoutset", "start", objects, limit=_MAX_RESULT_BYTES
            )
            try:
                while not wait([future], timeout=self._poll_seconds).done:
                    if progress is not None:
                        _tell(second, progress)
            except BaseException:
                _abort(second)  # before the pool waits for the call to end
                raise
        try:
            result = future.result()
        except ScanBusyError:
            raise
        except SourceUnavailableError:  # the client gave up waiting; the node did not stop
            _abort(second)
            raise
        if progress is not None:
            progress(1.0)
        return result


def _tell(rpc: CoreRpc, progress: Progress) -> None:
    try:
        status = rpc.call("scantxoutset", "status")
    except SourceUnavailableError as error:  # the node is busy: the scan itself goes on
        log.info("scan_progress_unknown", source=rpc.name, error=mask(str(error)))
        return
    share = status.get("progress") if isinstance(status, dict) else None
    if isinstance(share, (int, Decimal)) and 0 <= share <= 100:
        progress(float(share) / 100)


def _abort(rpc: CoreRpc) -> None:
    """End the node's scan; where it cannot be told, the error that led here matters more."""
    try:
        rpc.call("scantxoutset", "abort")
    except TrackerError as error:
        log.warning("scan_not_aborted", source=rpc.name, error=mask(str(error)))


def _snapshot(rpc: CoreRpc, scripts: Sequence[bytes], result: Any) -> UtxoSnapshot:
    if not isinstance(result, dict):
        raise rpc.strange("scantxoutset", result)
    if result.get("success") is not True:
        raise SourceUnavailableError(
            f"{rpc.name} broke its scan off: somebody aborted it", field="scantxoutset",
            value=result.get("success"), mend="it is tried again by itself",
        )
    tip = Tip(
        height_reply(result.get("height"), rpc.name, "height"),
        hash_reply(result.get("bestblock"), rpc.name, "bestblock"),
    )
    rows = result.get("unspents")
    if not isinstance(rows, list):
        raise rpc.strange("unspents", rows)
    found: dict[bytes, list[HeldCoin]] = {script: [] for script in scripts}
    for row in rows:
        script, coin = _coin(rpc, row, tip)
        if script not in found:
            raise rpc.strange("scriptPubKey", script.hex())
        found[script].append(coin)
    return UtxoSnapshot(tip, {script: tuple(coins) for script, coins in found.items()})


def _coin(rpc: CoreRpc, row: Any, tip: Tip) -> tuple[bytes, HeldCoin]:
    if not isinstance(row, dict):
        raise rpc.strange("unspent", row)
    vout, coinbase = row.get("vout"), row.get("coinbase")  # the flag came with Core 25
    height = height_reply(row.get("height"), rpc.name, "height of a coin")
    try:
        script = bytes.fromhex(row["scriptPubKey"])
        txid = bytes.fromhex(row["txid"])
        amount = satoshi(row.get("amount"))
    except (KeyError, TypeError, ValueError, InputError):
        raise rpc.strange("unspent", row) from None
    if not isinstance(vout, int) or isinstance(vout, bool) or not 0 <= vout < 1 << 32:
        raise rpc.strange("vout", row)
    if len(txid) != 32 or not (coinbase is None or isinstance(coinbase, bool)):
        raise rpc.strange("unspent", row)
    if height > tip.height:
        raise ReplyError(
            f"{rpc.name} shows a coin from above its own tip", field="height", value=height,
            mend="see the node's log",
        )
    return script, HeldCoin(outpoint_of(txid, vout), amount, height, coinbase)
