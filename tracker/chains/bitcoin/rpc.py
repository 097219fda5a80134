"""JSON-RPC to a Bitcoin Core node, its credentials read again when it refuses them.

Source: Bitcoin Core, doc/JSON-RPC-interface.md and src/rpc/protocol.h.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from tracker.chains.bitcoin.block import MAX_BLOCK_BYTES, MAX_MONEY
from tracker.chains.http import HttpClient, Reply
from tracker.domain.units import to_base_units
from tracker.errors import (
    ConfigError,
    InputError,
    NotFoundError,
    ReplyError,
    SourceUnavailableError,
)

HEX_BLOCK_BYTES = 2 * MAX_BLOCK_BYTES + 1024
# src/rpc/protocol.h
_RPC_MISC, _RPC_NOT_FOUND, _RPC_BAD_PARAMETER, _RPC_IN_WARMUP = -1, -5, -8, -28
# Amounts are decimals of whole coins: a float would round them.
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


class ScanBusyError(SourceUnavailableError):
    """The node scans its unspent outputs for somebody else already."""


class CoreRpc:
    """The calls to one node.

    `connect` opens the client anew: it is called again when the node refuses the credentials,
    because a node writes a new cookie at each start.
    """

    def __init__(self, connect: Callable[[], HttpClient]) -> None:
        self._connect = connect
        self.http = connect()
        self.name = f"core+{self.http.name}"

    def call(self, method: str, *params: object, limit: int = HEX_BLOCK_BYTES) -> Any:
        """The result of `method`, its fractions as `Decimal`, from an answer of `limit` bytes.

        Raises `NotFoundError` for what the node lacks, `ConfigError` for refused credentials,
        `SourceUnavailableError` and `ReplyError`.
        """
        reply = self._post(method, params, limit)
        if reply.status == 401:  # perhaps a node that was restarted and has a new cookie
            fresh = self._connect()
            self.http.close()
            self.http = fresh
            reply = self._post(method, params, limit)
        if reply.status in (401, 403):
            raise ConfigError(
                f"{self.name} refuses the credentials (status {reply.status})",
                field="TRACKER_BITCOIN_SOURCES",
                mend="give user and password in the URL or ?cookie=/path/to/.cookie, and see the "
                "node's rpcallowip; or start it with -rest, which needs none",
            )
        answer = self.json(reply)
        if not isinstance(answer, dict):
            raise self.strange(method, answer)
        error = answer.get("error")
        if error is not None:
            raise self._failure(method, params, error)
        return answer.get("result")

    def json(self, reply: Reply) -> Any:
        """The body as JSON; raises `ReplyError`."""
        try:
            return _DECODER.decode(reply.body)
        except msgspec.DecodeError:
            raise self.strange(f"status {reply.status}", reply.text) from None

    def strange(self, what: str, value: object) -> ReplyError:
        """The error for an answer of the wrong shape."""
        return ReplyError(
            f"{self.name} answered with something else than was asked", field=what, value=value,
            mend="check that the URL is the node's RPC address, not a web page or a proxy",
        )

    def absent(self, what: str, reason: str, field: str = "block") -> NotFoundError:
        """The error for what the node does not have."""
        return NotFoundError(
            f"{self.name} does not have it ({reason[:80]})", field=field, value=what,
            mend="it may lag or be pruned; another source is asked",
        )

    def close(self) -> None:
        """Close the kept connections."""
        self.http.close()

    def _post(self, method: str, params: tuple[object, ...], limit: int) -> Reply:
        body = {"jsonrpc": "1.0", "id": "tracker", "method": method, "params": params}
        # RPC failures come with status 500 and say why in the body.
        return self.http.post(
            "/", msgspec.json.encode(body), limit=limit,
            headers={"Content-Type": "application/json"}, pass_5xx=True,
        )

    def _failure(self, method: str, params: tuple[object, ...], error: object) -> Exception:
        code = error.get("code") if isinstance(error, dict) else None
        text = error.get("message") if isinstance(error, dict) else error
        if code == _RPC_IN_WARMUP:
            return SourceUnavailableError(
                f"{self.name} is starting", field="source", value=text,
                mend="it is tried again by itself",
            )
        if method == "scantxoutset" and code == _RPC_BAD_PARAMETER:
            return ScanBusyError(
                f"{self.name} runs a scan of its unspent outputs for somebody else",
                field="source", value=text,
                mend="it is tried again by itself; `bitcoin-cli scantxoutset abort` ends a scan",
            )
        missing = code in (_RPC_NOT_FOUND, _RPC_BAD_PARAMETER) or (
            code == _RPC_MISC and method == "getblock"  # pruned, or only its header is here
        )
        if missing:
            return self.absent(str(params[0]) if params else method, str(text))
        return ReplyError(
            f"{self.name} failed at {method}", field="error", value=f"{code}: {text}",
            mend="see the node's log",
        )


def satoshi(value: Any) -> int:
    """Whole coins, a `Decimal` or an integer as the node's JSON has them, in satoshi.

    Raises `InputError` for anything else, or an amount outside 0 to 21 million.
    """
    number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    amount = to_base_units(Decimal(value), "BTC") if number else -1
    if not 0 <= amount <= MAX_MONEY:
        raise InputError("not an amount of bitcoin", field="amount", value=value)
    return amount
