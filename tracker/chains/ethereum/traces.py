"""Ether moved inside transactions, read from traces of either form.

Flat: `trace_block`, `trace_filter` and geth's flatCallTracer, one frame an item, `traceAddress` its
place. Nested: geth's callTracer, one tree a transaction. The top frame is the transaction's own
value and is left out; its error drops all. Only the frame that failed carries `error`, those below
it look successful, and all of them moved nothing. `delegatecall`, `staticcall` and `callcode` keep
the balance where it is.

A contract that destroys itself pays its whole balance to the address it names. Named itself, it
burns the balance: since EIP-6780 (Cancun, told by the header's parent beacon root, EIP-4788) only
where the same transaction made the contract, otherwise nothing moves. Ether sent to a contract
after it destroyed itself in the same transaction is burnt at the transaction's end without any
frame saying so; a balance probe finds it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any, NamedTuple, TypeGuard

from tracker.chains.ethereum.reading import malformed, number, octets
from tracker.chains.ethereum.records import Block, CallFrame, Trace, TracedTransaction
from tracker.errors import ReplyError

Traces = Sequence[Trace] | Sequence[TracedTransaction]

# geth's callTracer lists calls of precompiled contracts; flat traces do not, unless they carry
# ether (the note on Parity in geth's `eth/tracers/native/call_flat.go`). Without, the paths agree.
_PRECOMPILED = frozenset([*range(0x01, 0x12), 0x100])

_PAYING = ("CALL", "CREATE", "CREATE2", "SELFDESTRUCT")


class Hop(NamedTuple):
    """Ether that one frame moved; `receiver` None where it was burnt. `value` is wei.

    `destroyed`: the sender gave up its whole balance by destroying itself.
    """

    tx: str
    path: tuple[int, ...]
    sender: bytes
    receiver: bytes | None
    value: int
    destroyed: bool = False


class Reward(NamedTuple):
    """What a miner was issued before the merge; `kind` is `block` or `uncle`, `value` wei."""

    kind: str
    author: bytes
    value: int


def is_flat(traces: Traces) -> TypeGuard[Sequence[Trace]]:
    """Whether the traces are a flat list of frames."""
    return bool(traces) and isinstance(traces[0], Trace)


def hops(block: Block, traces: Traces, watched: Container[bytes]) -> Iterator[Hop]:
    """Every successful internal transfer from or to a watched address, in the block's order.

    Raises `ReplyError` for a frame that lacks a field, and for a transaction that the node could
    not trace.
    """
    found = _flat(traces, watched) if is_flat(traces) else _nested(block, traces, watched)
    for hop in found:
        if not hop.destroyed or hop.receiver != hop.sender:
            yield hop
        elif block.parent_beacon_block_root is None or _made(block, traces, hop):
            yield hop._replace(receiver=None)


def failed(block: Block, traces: Traces) -> frozenset[str]:
    """Hashes of the transactions whose top frame failed."""
    if is_flat(traces):
        return frozenset(
            trace.transaction_hash for trace in traces
            if trace.error is not None and not trace.trace_address and trace.transaction_hash
        )
    return frozenset(
        tx for tx, top in _trees(block, traces) if top.error is not None
    )


def rewards(traces: Traces) -> Iterator[Reward]:
    """What the block issued to its miner and to those of its uncles.

    Some nodes list the beacon chain's withdrawals as rewards too; those stand in the block and are
    left out here.
    """
    if not is_flat(traces):
        return
    for trace in traces:
        if trace.type == "reward" and trace.action.get("rewardType") in ("block", "uncle"):
            action = trace.action
            yield Reward(
                action["rewardType"], octets(action.get("author"), 20, "reward author"),
                number(action.get("value"), "reward value"),
            )


def silent_destructs(block: Block, traces: Traces) -> tuple[str, ...]:
    """Hashes of transactions in which a contract destroyed itself and the trace hides the amount.

    Old versions of geth's callTracer give such a frame neither receiver nor value.
    """
    if is_flat(traces):
        return ()
    return tuple(
        tx for tx, top in _trees(block, traces)
        if any(_is_silent(frame) for frame, _ in _frames(top))
    )


def _flat(traces: Sequence[Trace], watched: Container[bytes]) -> Iterator[Hop]:
    broken = {
        (trace.transaction_hash, tuple(trace.trace_address))
        for trace in traces if trace.error is not None
    }
    for trace in traces:
        path = trace.trace_address
        if not path or trace.error is not None:
            continue
        action, kind = trace.action, trace.type
        try:
            if kind == "call":
                if action["value"] == "0x0" or action["callType"] != "call":
                    continue
                sender, receiver, value = action["from"], action["to"], action["value"]
            elif kind == "suicide":
                sender, receiver = action["address"], action["refundAddress"]
                value = action["balance"]
            elif kind == "create":
                sender, value = action["from"], action["value"]
                receiver = (trace.result or {})["address"]
            else:
                continue
        except KeyError as error:
            raise _incomplete(trace, error.args[0]) from None
        if trace.transaction_hash is None:
            raise _incomplete(trace, "transactionHash")
        hop = _hop(trace.transaction_hash, tuple(path), sender, receiver, value, watched)
        if hop is not None and not (broken and _is_undone(hop, broken)):
            yield hop._replace(destroyed=True) if kind == "suicide" else hop


def _nested(
    block: Block, traces: Sequence[Any], watched: Container[bytes]
) -> Iterator[Hop]:
    for tx, top in _trees(block, traces):
        for frame, path in _frames(top):
            if not path or frame.value is None or frame.value == "0x0":
                continue
            if frame.type in _PAYING:
                hop = _hop(tx, path, frame.from_, frame.to, frame.value, watched)
                if hop is not None:
                    yield hop._replace(destroyed=True) if frame.type == "SELFDESTRUCT" else hop


def _trees(block: Block, traces: Sequence[Any]) -> Iterator[tuple[str, CallFrame]]:
    """Each transaction's hash and top frame, by the hash beside it, else by its place."""
    if len(traces) != len(block.transactions):
        raise ReplyError(
            "the traces are not of this block", field="traces",
            value=f"{len(traces)} transactions",
            mend=f"the block has {len(block.transactions)}; fetch its traces by its hash",
        )
    for traced, tx in zip(traces, block.transactions, strict=True):
        if traced.result is None:
            raise ReplyError(
                f"the node could not trace a transaction: {traced.error or 'no result'}",
                field="traces", value=traced.tx_hash or tx.hash, mend="ask another source",
            )
        yield traced.tx_hash or tx.hash, traced.result


def _frames(top: CallFrame) -> Iterator[tuple[CallFrame, tuple[int, ...]]]:
    """The frames that took effect, each before those below it, with their paths."""
    waiting: list[tuple[CallFrame, tuple[int, ...]]] = [(top, ())]
    while waiting:
        frame, path = waiting.pop()
        if frame.error is not None:
            continue
        yield frame, path
        below = [call for call in frame.calls if not _is_precompiled(call)]
        waiting += reversed([(call, (*path, place)) for place, call in enumerate(below)])


def _is_precompiled(frame: CallFrame) -> bool:
    if frame.type not in ("CALL", "STATICCALL") or frame.value not in (None, "0x0"):
        return False
    return frame.to is not None and number(frame.to, "trace to") in _PRECOMPILED


def _is_silent(frame: CallFrame) -> bool:
    return frame.type == "SELFDESTRUCT" and (frame.to is None or frame.value is None)


def _hop(
    tx: str, path: tuple[int, ...], sender: Any, receiver: Any, value: object,
    watched: Container[bytes],
) -> Hop | None:
    try:
        source, target = bytes.fromhex(sender[2:]), bytes.fromhex(receiver[2:])
        if source not in watched and target not in watched:
            return None
    except (TypeError, ValueError):
        raise malformed(_field(tx, path), f"{sender} to {receiver}") from None
    wei = number(value, f"{_field(tx, path)}.value")
    return Hop(tx, path, source, target, wei) if wei else None


def _is_undone(hop: Hop, broken: set[tuple[str | None, tuple[int, ...]]]) -> bool:
    return any((hop.tx, hop.path[:depth]) in broken for depth in range(len(hop.path)))


def _made(block: Block, traces: Traces, hop: Hop) -> bool:
    """Whether the hop's own transaction created its sender."""
    text = f"0x{hop.sender.hex()}"
    if is_flat(traces):
        return any(
            trace.type == "create" and trace.transaction_hash == hop.tx
            and str((trace.result or {}).get("address")).lower() == text
            for trace in traces
        )
    return any(
        tx == hop.tx and any(
            frame.type in ("CREATE", "CREATE2") and str(frame.to).lower() == text
            for frame, _ in _frames(top)
        )
        for tx, top in _trees(block, traces)
    )


def _field(tx: str, path: Sequence[int]) -> str:
    return f"trace {'.'.join(map(str, path))} of {tx}"


def _incomplete(trace: Trace, missing: str) -> ReplyError:
    return ReplyError(
        f"a frame has no {missing}",
        field=_field(trace.transaction_hash or "no transaction", trace.trace_address),
        mend="fetch the traces again, or from another source",
    )
