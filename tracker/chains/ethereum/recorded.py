"""Recorded blocks, receipts, logs and traces in files, as nodes answered them.

The JSON may be a whole JSON-RPC reply, its bare `result`, a batch of replies, or a list of recorded
`{"request", "response"}` pairs. Lists of several replies are joined, so that one receipt a reply
(`eth_getTransactionReceipt`) is as good as a block's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from tracker.chains.ethereum.records import Block, Log, Receipt, Trace, TracedTransaction
from tracker.errors import InputError

_T = TypeVar("_T")


def block_in(data: bytes, field: str = "--block") -> Block:
    """The full block that `data` holds; raises `InputError` naming `field`.

    A block with transaction hashes only is refused: it does not say what was sent.
    """
    for found in _results(_json(data, field), field):
        if isinstance(found, dict) and "transactions" in found:
            if any(isinstance(tx, str) for tx in found["transactions"] or ()):
                raise InputError(
                    "the block lists only its transactions' hashes, so values are unknown",
                    field=field, value=found.get("hash"),
                    mend="record the full block: eth_getBlockByNumber(number, true)",
                )
            return _convert(found, Block, field)
    raise _nothing(field, data, "block", "eth_getBlockByNumber(number, true)")


def receipts_or_logs_in(
    data: bytes, field: str = "--receipts"
) -> tuple[list[Receipt] | None, list[Log] | None]:
    """All receipts that `data` holds, or all logs of an eth_getLogs reply; the other is None.

    Raises `InputError`.
    """
    rows = _rows(data, field, "receipts or logs", "eth_getBlockReceipts(number)")
    if rows and isinstance(rows[0], dict) and "topics" in rows[0]:
        return None, _convert(rows, list[Log], field)
    return _convert(rows, list[Receipt], field), None


def logs_in(data: bytes, field: str = "--logs") -> list[Log]:
    """All logs that `data` holds; raises `InputError`."""
    rows = _rows(data, field, "logs", "eth_getLogs of the block's hash")
    return _convert(rows, list[Log], field)


def traces_in(data: bytes, field: str = "--traces") -> list[Trace] | list[TracedTransaction]:
    """All traces that `data` holds, flat or nested; raises `InputError`.

    The replies of flatCallTracer, flat frames in one list a transaction, are joined.
    """
    rows = _rows(data, field, "traces", "trace_block(number), or debug_traceBlockByHash")
    if rows and isinstance(rows[0], dict) and isinstance(rows[0].get("result"), list):
        rows = [frame for row in rows for frame in row.get("result") or ()]
    if rows and isinstance(rows[0], dict) and "action" in rows[0]:
        return _convert(rows, list[Trace], field)
    for place, row in enumerate(rows):
        if not isinstance(row, dict) or not {"result", "error"} & row.keys():
            raise InputError(
                "not what a node answers: neither a frame nor a traced transaction",
                field=f"{field} item {place}", value=row,
                mend="give the reply of trace_block, or of debug_traceBlockByHash with callTracer",
            )
    return _convert(rows, list[TracedTransaction], field)


def _rows(data: bytes, field: str, what: str, call: str) -> list[Any]:
    rows: list[Any] = []
    held = False
    for found in _results(_json(data, field), field):
        if isinstance(found, list):
            rows += found
            held = True
        elif isinstance(found, dict):
            rows.append(found)
            held = True
    if not held:
        raise _nothing(field, data, what, call)
    return rows


def _results(value: Any, field: str) -> Iterator[Any]:
    """Every `result` in a recording. A node's error is the file's error."""
    if isinstance(value, dict):
        if "response" in value:
            yield from _results(value["response"], field)
        elif "jsonrpc" in value or set(value) == {"result"}:
            if value.get("error") is not None:
                raise InputError(
                    "the file holds a node's error instead of its answer", field=field,
                    value=value["error"], mend="record the reply again, or from another node",
                )
            yield value.get("result")
        else:
            yield value
    elif isinstance(value, list) and value and all(map(_is_envelope, value)):
        for item in value:
            yield from _results(item, field)
    else:
        yield value


def _is_envelope(item: Any) -> bool:
    return isinstance(item, dict) and ("response" in item or "jsonrpc" in item)


def _json(data: bytes, field: str) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"not valid JSON: {error}", field=field, value=_start(data),
            mend="give the reply as the node sent it",
        ) from None


def _convert(value: Any, to: type[_T], field: str) -> _T:
    try:
        return msgspec.convert(value, to)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InputError(
            f"not what a node answers: {error}", field=field,
            mend="give the reply as the node sent it",
        ) from None


def _nothing(field: str, data: bytes, what: str, call: str) -> InputError:
    return InputError(
        f"no {what} in the file", field=field, value=_start(data) or "an empty file",
        mend=f"give the reply of {call}",
    )


def _start(data: bytes) -> str:
    return data[:60].decode("utf-8", "replace").strip()
