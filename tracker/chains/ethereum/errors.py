"""From a provider's error object to ours.

Providers agree on neither codes nor words: -32005 is a rate limit or too many logs, -32000 is
anything. So a table of patterns decides, in its order, each row from replies that were seen
(Infura, Alchemy, QuickNode, dRPC, Ankr, geth, Erigon, reth, Nethermind, parity).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from tracker.chains.port import SlowDownError
from tracker.errors import (
    ConfigError,
    MethodMissingError,
    NotFoundError,
    PrunedStateError,
    QuotaError,
    ReplyError,
    SourceUnavailableError,
    TrackerError,
)
from tracker.log import mask

PAUSE_SECONDS = 30.0  # after a rate limit that names no time
QUOTA_PAUSE_SECONDS = 3600.0


class RangeTooLargeError(TrackerError):
    """The source will not give the logs of so many blocks at once.

    `suggested` is a range, both ends counted, that it says would do; `limit` a number of blocks.
    """

    code = "range_too_large"
    status = 502

    def __init__(
        self, message: str, *, suggested: tuple[int, int] | None = None, limit: int | None = None,
        field: str | None = None, value: object = None, mend: str | None = None,
    ) -> None:
        super().__init__(message, field=field, value=value, mend=mend)
        self.suggested = suggested
        self.limit = limit


class BatchRefusedError(TrackerError):
    """The source takes no batches, or none so long; `limit` is its length where it says one."""

    code = "batch_refused"
    status = 502

    def __init__(
        self, message: str, *, limit: int | None = None, field: str | None = None,
        value: object = None, mend: str | None = None,
    ) -> None:
        super().__init__(message, field=field, value=value, mend=mend)
        self.limit = limit


class RevertedError(TrackerError):
    """A contract refused the call, or used up its gas."""

    code = "call_reverted"
    status = 502


class Kind(StrEnum):
    """What an error object means to us."""

    KEY = "key"
    QUOTA = "quota"
    RATE_LIMIT = "rate_limit"
    BATCH = "batch"
    RANGE = "range"
    PRUNED = "pruned"
    MISSING = "missing"
    REVERTED = "reverted"
    NOT_FOUND = "not_found"
    BROKEN = "broken"
    OTHER = "other"


class _Row(NamedTuple):
    kind: Kind
    codes: tuple[int, ...]  # any of these is enough…
    words: str  # …and so is any of these in the message
    methods: tuple[str, ...] = ()  # the row holds for these alone


_LOGS = ("eth_getLogs", "trace_filter", "erigon_getLatestLogs")
_CALLS = ("eth_call",)
_TABLE = tuple(
    (row, re.compile(row.words, re.IGNORECASE)) for row in (
        _Row(Kind.KEY, (), r"unauthori[sz]ed|(invalid|missing|must .*) api.?key|"
                           r"invalid project id"),
        _Row(Kind.QUOTA, (), r"(monthly|daily) (capacity|quota|credit)|quota (exceeded|exhausted)|"
                             r"out of credits|payment required"),
        _Row(Kind.BATCH, (), r"\bbatch\b.*(limit|size|large|more than|allowed|supported|disabled)"),
        _Row(Kind.RATE_LIMIT, (429, -32012, -32029, -32097),
             r"rate.?limit|too many requests|request count exceeded|credits limited|"
             r"limited to \d+/sec|(units|requests?) per second|/second .*limit|throttl"),
        _Row(Kind.RANGE, (-32614,),
             r"more than \d+ (results|logs)|response size|block range|"
             r"range .*(exceeds|limit|large)|"
             r"exceeds? .*range|limited to a .*range|too many (results|logs|blocks)|"
             r"query timeout|timed? ?out", _LOGS),
        _Row(Kind.PRUNED, (),
             r"missing ?trie ?node|pruning|pruned|historical state|no state available|"
             r"state .*(not|un)available|state .*not found|state .*is not available|"
             r"world state|archive|proof window"),
        _Row(Kind.MISSING, (-32601, -32004),
             r"method .*(not|un)[ -]?(found|exist|available|supported|allowed|whitelisted)|"
             r"does not exist/is not available|not supported|unsupported method|not whitelisted"),
        _Row(Kind.REVERTED, (3,), r"revert|out of gas|invalid opcode|invalid jump|stack underflow",
             _CALLS),
        _Row(Kind.NOT_FOUND, (-39001,),
             r"not found|unknown (block|transaction|header)|not .*canonical|could not find block"),
        _Row(Kind.BROKEN, (-32603, 30), r"internal error|timed? ?out|try again|unavailable"),
    )
)

_HEX_RANGE = re.compile(r"\[\s*(0x[0-9a-f]+)\s*,\s*(0x[0-9a-f]+)\s*\]", re.IGNORECASE)
_BLOCK_LIMIT = re.compile(
    r"(?:limit of|up to an?|limited to an?|max(?:imum)?(?: block)? range(?: is| of|:)?|\(maximum)"
    r"\s*([\d,]+)(k?)\b(?! results| logs)", re.IGNORECASE,
)
_BATCH_LIMIT = re.compile(r"(?:limit|more than|maximum|max)\D{0,20}(\d+)", re.IGNORECASE)


def kind_of(code: int, message: str, method: str, data: object = None) -> Kind:
    """What an error object means, asked with `method`. Nethermind tells the reason in `data`."""
    told = f"{message} {data}" if isinstance(data, str) else message
    for row, words in _TABLE:
        if row.methods and method not in row.methods:
            continue
        if code in row.codes or words.search(told):
            return row.kind
    return Kind.OTHER


def explained(error: object, *, method: str, source: str) -> TrackerError:
    """Our error for a JSON-RPC error object that `source` gave to `method`."""
    code, message, data = _parts(error)
    kind = kind_of(code, message, method, data)
    told = mask(message)
    if kind is Kind.RANGE:
        return RangeTooLargeError(
            f"{source} will not give so many logs at once", suggested=_suggested(message, data),
            limit=_block_limit(message), field=method, value=told,
            mend="fewer blocks are asked for by itself",
        )
    if kind is Kind.BATCH:
        found = _BATCH_LIMIT.search(message)
        return BatchRefusedError(
            f"{source} takes no such batch", limit=int(found[1]) if found else None,
            field=method, value=told, mend="smaller batches are sent by itself",
        )
    if kind in (Kind.RATE_LIMIT, Kind.QUOTA, Kind.BROKEN):
        return _unavailable(kind, source, method, told, data)
    if kind is Kind.KEY:
        return ConfigError(
            f"{source} asks for a key", field="TRACKER_ETHEREUM_RPC_URLS", value=told,
            mend="put the provider's key into the URL, or name another source",
        )
    plain: dict[Kind, tuple[type[TrackerError], str, str]] = {
        Kind.PRUNED: (PrunedStateError, "no longer has the state of that block",
                      "name an archive node, or ask for a newer block"),
        Kind.MISSING: (MethodMissingError, "does not offer this call",
                       "it is done in another way, or by another source"),
        Kind.REVERTED: (RevertedError, "says that the call was refused",
                        "check the contract's address"),
        Kind.NOT_FOUND: (NotFoundError, "does not have it", "it may lag; another source is asked"),
    }
    kinds, says, mend = plain.get(
        kind, (ReplyError, f"answered with error {code}", "see the provider's documentation")
    )
    return kinds(f"{source} {says}", field=method, value=told, mend=mend)


def _unavailable(
    kind: Kind, source: str, method: str, told: str, data: object
) -> SourceUnavailableError:
    if kind is Kind.QUOTA:
        return QuotaError(
            f"the allowance of {source} is used up", retry_after=QUOTA_PAUSE_SECONDS,
            field=method, value=told, mend="raise the provider's plan, or add a source",
        )
    if kind is Kind.RATE_LIMIT:
        return SlowDownError(
            f"{source} asks to slow down", retry_after=_backoff(data) or PAUSE_SECONDS,
            field=method, value=told, mend="add a source, or one of your own",
        )
    return SourceUnavailableError(
        f"{source} is out of order", field=method, value=told, mend="it is tried again by itself",
    )


def _parts(error: object) -> tuple[int, str, object]:
    """Code, message and data, of whatever stands where the error object is due."""
    if not isinstance(error, Mapping):
        return 0, str(error), None
    code, message = error.get("code"), error.get("message")
    is_number = isinstance(code, int) or (isinstance(code, str) and code.lstrip("-").isdigit())
    return int(code or 0) if is_number else 0, str(message or error), error.get("data")


def _suggested(message: str, data: Any) -> tuple[int, int] | None:
    if isinstance(data, Mapping) and {"from", "to"} <= data.keys():
        message = f"[{data['from']}, {data['to']}]"
    found = _HEX_RANGE.search(message)
    return (int(found[1], 16), int(found[2], 16)) if found else None


def _block_limit(message: str) -> int | None:
    found = _BLOCK_LIMIT.search(message)
    if found is None:
        return None
    return int(found[1].replace(",", "")) * (1000 if found[2] else 1) or None


def _backoff(data: Any) -> float | None:
    """Infura's `data.rate.backoff_seconds`, where it is more than nothing."""
    rate = data.get("rate") if isinstance(data, Mapping) else None
    wait = rate.get("backoff_seconds") if isinstance(rate, Mapping) else None
    return float(wait) if isinstance(wait, (int, float)) and 0 < wait <= QUOTA_PAUSE_SECONDS \
        else None
