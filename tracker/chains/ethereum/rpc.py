"""JSON-RPC 2.0 over HTTP: single calls and batches (https://www.jsonrpc.org/specification).

Results stay raw bytes until they are decoded to the type that is wanted. What a provider refuses
as a batch is sent in smaller ones, down to single calls, and the length that worked is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from tracker.chains.ethereum.errors import (
    PAUSE_SECONDS,
    QUOTA_PAUSE_SECONDS,
    BatchRefusedError,
    explained,
)
from tracker.chains.http import HttpClient, Reply
from tracker.chains.port import SlowDownError
from tracker.errors import (
    ConfigError,
    QuotaError,
    ReplyError,
    SourceUnavailableError,
    TrackerError,
)

MAX_BATCH = 50
SHORT_BYTES = 4 * 1024 * 1024  # headers, balances, calls
LONG_BYTES = 64 * 1024 * 1024  # whole blocks with receipts; logs of a range

_HEADERS = {"Content-Type": "application/json"}
_WHOLE_BATCH = "batch"


class Call(NamedTuple):
    """A method and its parameters by position."""

    method: str
    params: Sequence[Any] = ()


class _Answer(Struct):
    id: int | str | None = None
    result: Raw = Raw(b"")
    error: Any = None


class RpcClient:
    """One endpoint. Everything raised names it without credentials."""

    def __init__(self, http: HttpClient, *, batch_size: int = MAX_BATCH) -> None:
        self._http = http
        self._batch_size = max(1, batch_size)
        self.name = http.name

    def call(self, method: str, params: Sequence[Any] = (), *, limit: int = SHORT_BYTES) -> Raw:
        """The raw result of one call, of at most `limit` bytes.

        Raises `SourceUnavailableError`, `ReplyError`, and what `errors.explained` makes of an
        error object.
        """
        found = self._single(Call(method, params), limit)
        if isinstance(found, TrackerError):
            raise found
        return found

    def batch(self, calls: Sequence[Call], *, limit: int = SHORT_BYTES) -> list[Raw | TrackerError]:
        """Result or error of each call, in their order; `limit` is for the bytes of one reply.

        One failed call leaves the others alone. Raises where none can be had: not reached, a rate
        limit on all, an answer left out.
        """
        found: list[Raw | TrackerError] = []
        while len(found) < len(calls):
            some = calls[len(found) : len(found) + self._batch_size]
            if len(some) == 1:
                found.append(self._single(some[0], limit))
                continue
            try:
                found += self._many(some, limit)
            except BatchRefusedError as error:
                smaller = error.limit if error.limit is not None else len(some) // 2
                self._batch_size = max(1, min(smaller, len(some) - 1))
        return found

    def close(self) -> None:
        """Close the kept connections."""
        self._http.close()

    def _single(self, call: Call, limit: int) -> Raw | TrackerError:
        reply = self._post(_request(1, call), limit)
        answer = self._decoded(reply, list[_Answer] if reply.body[:1] == b"[" else _Answer)
        if isinstance(answer, list):  # seen: an error object in a list, to a call that was none
            if len(answer) != 1:
                raise self._no_answer(reply, "one answer")
            answer = answer[0]
        found = self._outcome(answer, call.method)
        if isinstance(found, BatchRefusedError):
            raise self._no_answer(reply, "what was asked, and of a batch that was none")
        if isinstance(found, (SourceUnavailableError, ConfigError)):
            raise found
        if not isinstance(found, TrackerError) and answer.id not in (1, "1"):
            raise self._no_answer(reply, "an answer to what was asked")
        return found

    def _many(self, calls: Sequence[Call], limit: int) -> list[Raw | TrackerError]:
        body = [_request(index, call) for index, call in enumerate(calls, 1)]
        reply = self._post(body, limit, pass_refusal=True)
        if reply.body[:1] != b"[":
            answer = self._decoded(reply, _Answer)
            raise self._refusal(answer)
        by_id: dict[int, _Answer] = {}
        for answer in self._decoded(reply, list[_Answer]):
            place = _place(answer.id)
            if place is None and answer.error is not None:
                raise self._refusal(answer)
            if place is None or not 1 <= place <= len(calls) or place in by_id:
                raise self._no_answer(reply, "answers to what was asked")
            by_id[place] = answer
        if len(by_id) < len(calls):
            raise SourceUnavailableError(
                f"{self.name} left out {len(calls) - len(by_id)} of {len(calls)} answers",
                field="batch", value=len(by_id), mend="it is tried again by itself",
            )
        found = [
            self._outcome(by_id[index], call.method) for index, call in enumerate(calls, 1)
        ]
        for error in found:
            if isinstance(error, BatchRefusedError):
                raise error
        first = found[0]
        if isinstance(first, (SourceUnavailableError, ConfigError)) and all(
            isinstance(item, (SourceUnavailableError, ConfigError)) for item in found
        ):
            raise first
        return found

    def _outcome(self, answer: _Answer, method: str) -> Raw | TrackerError:
        if answer.error is not None:
            return explained(answer.error, method=method, source=self.name)
        if not bytes(answer.result):
            return ReplyError(
                f"{self.name} answered with neither result nor error", field=method,
                mend="check that the source's URL leads to an Ethereum JSON-RPC endpoint",
            )
        return answer.result

    def _refusal(self, answer: _Answer) -> TrackerError:
        """What to raise where one error stands for a whole batch."""
        if answer.error is None:
            return BatchRefusedError(f"{self.name} answered a batch with one object")
        error = explained(answer.error, method=_WHOLE_BATCH, source=self.name)
        if isinstance(error, (BatchRefusedError, SourceUnavailableError, ConfigError)):
            return error
        return BatchRefusedError(f"{self.name} takes no batch", limit=1, value=error.value)

    def _post(self, body: object, limit: int, *, pass_refusal: bool = False) -> Reply:
        """The reply, once it is known to be JSON."""
        try:
            reply = self._http.post(
                "", msgspec.json.encode(body), limit=limit, headers=_HEADERS, pass_5xx=True
            )
        except SlowDownError as error:
            if error.retry_after is None:
                error.retry_after = PAUSE_SECONDS
            raise
        stripped = reply.body.lstrip()
        if stripped[:1] in (b"{", b"["):
            return Reply(reply.status, stripped, reply.retry_after)
        if reply.status in (400, 405, 413, 415) and pass_refusal:
            raise BatchRefusedError(f"{self.name} takes no batch", limit=1)
        raise self._not_json(reply)

    def _not_json(self, reply: Reply) -> TrackerError:
        if reply.status in (401, 403):
            return ConfigError(
                f"{self.name} refuses us", field="status", value=reply.status,
                mend="check the key in TRACKER_ETHEREUM_RPC_URLS, or name another source",
            )
        if reply.status == 402:
            return QuotaError(
                f"{self.name} asks for payment", retry_after=QUOTA_PAUSE_SECONDS, field="status",
                value=reply.status, mend="raise the provider's plan, or add a source",
            )
        if reply.status >= 500:
            return SourceUnavailableError(
                f"{self.name} is out of order", retry_after=reply.retry_after, field="status",
                value=reply.status, mend="it is tried again by itself",
            )
        return self._no_answer(reply, "JSON")

    def _decoded(self, reply: Reply, kind: Any) -> Any:
        try:
            return msgspec.json.decode(reply.body, type=kind)
        except msgspec.ValidationError:
            raise self._no_answer(reply, "a JSON-RPC answer") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if _whole(reply.body):
                raise self._no_answer(reply, "JSON") from None
            raise SourceUnavailableError(
                f"{self.name} broke off in the middle", field="source",
                value=f"{len(reply.body)} bytes", mend="it is tried again by itself",
            ) from None

    def _no_answer(self, reply: Reply, what: str) -> ReplyError:
        return ReplyError(
            f"{self.name} answered without {what}, status {reply.status}", field="reply",
            value=reply.text[:120],
            mend="check that the source's URL leads to an Ethereum JSON-RPC endpoint",
        )


def _request(index: int, call: Call) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": index, "method": call.method, "params": list(call.params)}


def _place(found: int | str | None) -> int | None:
    """The number in an id; some providers answer with its text."""
    if isinstance(found, str) and found.isascii() and found.isdigit():
        return int(found[:9])
    return found if isinstance(found, int) else None


def _whole(body: bytes) -> bool:
    return body.rstrip()[-1:] in (b"}", b"]")
