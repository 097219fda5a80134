"""Esplora's REST API: one question at a time, each answer of the type that was asked for.

Source: https://github.com/Blockstream/esplora/blob/master/API.md, and src/rest.rs of
https://github.com/Blockstream/electrs, which answers it. A script is named by the SHA-256 of its
bytes, so that scripts without an address can be asked for too.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, TypeVar

import msgspec

from tracker.chains.bitcoin.block import MAX_BLOCK_BYTES, MAX_MONEY
from tracker.chains.http import HttpClient, Reply
from tracker.errors import NotFoundError, ReplyError, TooManyOutputsError

SHORT_BYTES = 64 * 1024  # a hash or a height, or the error page that comes in its place
LONG_BYTES = 64_000_000  # a page of 25 transactions, each with its scripts and witnesses in full

T = TypeVar("T")
Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Height = Annotated[int, msgspec.Meta(ge=0, le=10_000_000_000)]
Satoshi = Annotated[int, msgspec.Meta(ge=0, le=MAX_MONEY)]
Index = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Status(msgspec.Struct):
    """Whether a transaction is in a block, and in which."""

    confirmed: bool
    block_height: Height | None = None
    block_hash: Hash | None = None


class Stats(msgspec.Struct):
    """Totals over all outputs that a script ever received (funded) and gave away (spent).

    The sums may exceed 21 million BTC: coins that come back count again.
    """

    tx_count: Count
    funded_txo_count: Count
    funded_txo_sum: Count
    spent_txo_count: Count
    spent_txo_sum: Count

    @property
    def unspent(self) -> int:
        """How many outputs are unspent."""
        return self.funded_txo_count - self.spent_txo_count

    @property
    def balance(self) -> int:
        """What they are worth, in satoshi."""
        return self.funded_txo_sum - self.spent_txo_sum


class ScriptStats(msgspec.Struct):
    """A script's totals in blocks, and in unconfirmed transactions beside them."""

    chain_stats: Stats
    mempool_stats: Stats


class EsploraApi:
    """The questions to one server. `name` is its URL without a credential."""

    def __init__(self, client: HttpClient) -> None:
        self._http = client
        self.name = f"esplora+{client.name}"

    def get(self, path: str, *, limit: int = SHORT_BYTES) -> Reply:
        """The answer to `path`, whatever its status."""
        return self._http.get(path, limit=limit)

    def ok(self, reply: Reply) -> Reply:
        """`reply` where its status is 200; raises `ReplyError`."""
        if reply.status == 200:
            return reply
        raise ReplyError(
            f"{self.name} answered with status {reply.status}", field="reply", value=reply.text,
            mend="check that the URL ends where the API begins, as in https://mempool.space/api",
        )

    def text(self, path: str, *, limit: int = SHORT_BYTES) -> str:
        """The text at `path`."""
        return self.ok(self.get(path, limit=limit)).text

    def read(self, path: str, kind: type[T], *, limit: int = LONG_BYTES) -> T:
        """The JSON at `path` as `kind`.

        Raises `NotFoundError` where the server says 404, and `ReplyError` for something else.
        """
        reply = self.get(path, limit=limit)
        if reply.status == 404:
            raise self._absent("it", path)
        return self._decoded(self.ok(reply), kind)

    def of_script(self, script: bytes, tail: str, kind: type[T]) -> T:
        """The JSON about `script` as `kind`; `tail` is the rest of the path.

        Raises `TooManyOutputsError` where the server refuses because there is too much of it.
        """
        path = f"/scripthash/{sha256(script).hexdigest()}{tail}"
        reply = self.get(path, limit=LONG_BYTES)
        # Both servers say so in words only, with a status of 400.
        if 400 <= reply.status < 500 and "too many" in reply.text[:200].lower():
            raise TooManyOutputsError(
                f"{self.name} refuses: {reply.text[:120]}", field="script", value=script.hex(),
                mend="use a Bitcoin Core node of your own as source: it scans without that limit",
            )
        return self._decoded(self.ok(reply), kind)

    def raw_transaction(self, txid: bytes) -> bytes:
        """The transaction's bytes; raises `NotFoundError` where the server has none such."""
        reply = self.get(f"/tx/{txid.hex()}/hex", limit=2 * MAX_BLOCK_BYTES)
        if reply.status == 404:
            raise self._absent("the transaction", txid.hex())
        try:
            return bytes.fromhex(self.ok(reply).text)
        except ValueError:
            raise ReplyError(
                f"{self.name} answered without the hex of a transaction", field="transaction",
                value=reply.text, mend="check that the source's URL leads to the API itself",
            ) from None

    def _absent(self, what: str, value: str) -> NotFoundError:
        return NotFoundError(
            f"{self.name} does not have {what}", field="esplora", value=value,
            mend="it may lag; another source is asked",
        )

    def _decoded(self, reply: Reply, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(reply.body, type=kind)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ReplyError(
                f"{self.name} answered with something else than was asked: {error}",
                field="reply", value=reply.text,
                mend="check that the source's URL leads to the API itself, not to a web page",
            ) from None
