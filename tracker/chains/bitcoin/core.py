"""Bitcoin Core as a block source: its REST interface where it is on (`-rest`), else JSON-RPC.

Sources: Bitcoin Core, doc/REST-interface.md and src/rpc/protocol.h. REST sends the block's bytes as
they are; RPC sends them as hex, twice the size and time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tracker.chains.bitcoin.block import MAX_BLOCK_BYTES
from tracker.chains.bitcoin.network import network_of_genesis
from tracker.chains.check import block_reply, hash_reply, height_reply
from tracker.chains.http import HttpClient, Reply
from tracker.domain.chain import Tip
from tracker.errors import ConfigError, NotFoundError, ReplyError, SourceUnavailableError

_SHORT_BYTES = 256 * 1024
_HEX_BLOCK_BYTES = 2 * MAX_BLOCK_BYTES + 1024
# src/rpc/protocol.h
_RPC_MISC, _RPC_NOT_FOUND, _RPC_BAD_PARAMETER, _RPC_IN_WARMUP = -1, -5, -8, -28


class CoreSource:
    """Blocks from a Bitcoin Core node.

    `connect` opens the client anew: it is called again when the node refuses the credentials,
    because a node writes a new cookie at each start.
    """

    kind = "core"

    def __init__(self, connect: Callable[[], HttpClient]) -> None:
        self._connect = connect
        self._http = connect()
        self.name = f"core+{self._http.name}"
        self._rest: bool | None = None

    def tip(self) -> Tip:
        """Height and hash of one answer, so that they fit."""
        if self._use_rest():
            info = self._json(self._ok(self._http.get("/rest/chaininfo.json", limit=_SHORT_BYTES)))
        else:
            info = self._rpc("getblockchaininfo")
        if not isinstance(info, dict):
            raise self._strange("chain info", info)
        return Tip(
            height_reply(info.get("blocks"), self.name, "blocks"),
            hash_reply(info.get("bestblockhash"), self.name, "bestblockhash"),
        )

    def block_hash(self, height: int) -> bytes | None:
        """The hash of the active chain at `height`; None above its tip."""
        what = f"hash at {height}"
        if self._use_rest():
            reply = self._http.get(f"/rest/blockhashbyheight/{height}.hex", limit=_SHORT_BYTES)
            # The node says 404 above its tip, and 400 for a height that no chain can have.
            if reply.status in (400, 404):
                return None
            return hash_reply(self._ok(reply).text, self.name, what)
        try:
            return hash_reply(self._rpc("getblockhash", height), self.name, what)
        except NotFoundError:
            return None

    def block(self, block_hash: bytes) -> bytes:
        """The raw block, by REST as bytes, by RPC as hex (verbosity 0)."""
        name = block_hash.hex()
        if self._use_rest():
            reply = self._http.get(f"/rest/block/{name}.bin", limit=MAX_BLOCK_BYTES)
            if reply.status == 404:
                raise self._absent(name, reply.text)
            raw = self._ok(reply).body
        else:
            text = self._rpc("getblock", name, 0)
            try:
                raw = bytes.fromhex(text)
            except (TypeError, ValueError):
                raise self._strange("block", text) from None
        return block_reply(raw, block_hash, self.name)

    def network(self) -> str | None:
        """The network of its block 0."""
        genesis = self.block_hash(0)
        return None if genesis is None else network_of_genesis(genesis)

    def _use_rest(self) -> bool:
        """Whether REST is on: a node without `-rest` says 404, or 401 from the RPC behind it."""
        if self._rest is None:
            reply = self._http.get("/rest/chaininfo.json", limit=_SHORT_BYTES)
            self._rest = reply.status == 200
        return self._rest

    def _rpc(self, method: str, *params: object) -> Any:
        reply = self._post(method, params)
        if reply.status == 401:  # perhaps a node that was restarted and has a new cookie
            self._http = self._connect()
            reply = self._post(method, params)
        if reply.status in (401, 403):
            raise ConfigError(
                f"{self.name} refuses the credentials (status {reply.status})",
                field="TRACKER_BITCOIN_SOURCES",
                mend="give user and password in the URL or ?cookie=/path/to/.cookie, and see the "
                "node's rpcallowip; or start it with -rest, which needs none",
            )
        answer = self._json(reply)
        if not isinstance(answer, dict):
            raise self._strange(method, answer)
        error = answer.get("error")
        if error is not None:
            raise self._failure(method, params, error)
        return answer.get("result")

    def _post(self, method: str, params: tuple[object, ...]) -> Reply:
        body = {"jsonrpc": "1.0", "id": "tracker", "method": method, "params": params}
        # RPC failures come with status 500 and say why in the body.
        return self._http.post(
            "/", msgspec.json.encode(body), limit=_HEX_BLOCK_BYTES,
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
        missing = code in (_RPC_NOT_FOUND, _RPC_BAD_PARAMETER) or (
            code == _RPC_MISC and method == "getblock"  # pruned, or only its header is here
        )
        if missing:
            return self._absent(str(params[0]), str(text))
        return ReplyError(
            f"{self.name} failed at {method}", field="error", value=f"{code}: {text}",
            mend="see the node's log",
        )

    def _absent(self, what: str, reason: str) -> NotFoundError:
        return NotFoundError(
            f"{self.name} does not have it ({reason[:80]})", field="block", value=what,
            mend="it may lag or be pruned; another source is asked",
        )

    def _ok(self, reply: Reply) -> Reply:
        if reply.status == 200:
            return reply
        self._rest = None  # perhaps a node that was started again without it
        raise ReplyError(
            f"{self.name} answered with status {reply.status}", field="reply", value=reply.text,
            mend="check that the URL is the node's RPC address",
        )

    def _json(self, reply: Reply) -> Any:
        try:
            return msgspec.json.decode(reply.body)
        except msgspec.DecodeError:
            raise self._strange(f"status {reply.status}", reply.text) from None

    def _strange(self, what: str, value: object) -> ReplyError:
        return ReplyError(
            f"{self.name} answered with something else than was asked", field=what, value=value,
            mend="check that the URL is the node's RPC address, not a web page or a proxy",
        )


def read_cookie(path: str) -> tuple[str, str]:
    """User and password of a node's `.cookie` file; raises `ConfigError` naming the file."""
    try:
        with Path(path).expanduser().open(encoding="utf-8") as file:
            user, colon, password = file.read(1024).strip().partition(":")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the cookie file cannot be read ({type(error).__name__})",
            field="TRACKER_BITCOIN_SOURCES", value=path,
            mend="start the node, or let this user read the file",
        ) from None
    if not colon:
        raise ConfigError(
            "the cookie file is not of the form user:password",
            field="TRACKER_BITCOIN_SOURCES", value=path, mend="give the node's own .cookie file",
        )
    return user, password
