"""Esplora's REST API as a block source (mempool.space, blockstream.info, one's own).

Source: https://github.com/Blockstream/esplora/blob/master/API.md. Only blocks are fetched, which
tells the provider nothing of what is watched.
"""

from __future__ import annotations

from tracker.chains.bitcoin.block import MAX_BLOCK_BYTES
from tracker.chains.bitcoin.network import network_of_genesis
from tracker.chains.check import block_reply, hash_reply, height_reply
from tracker.chains.http import HttpClient, Reply
from tracker.domain.chain import Tip
from tracker.errors import NotFoundError, ReplyError

_SHORT_BYTES = 64 * 1024  # a hash or a height, or the error page that comes in its place


class EsploraSource:
    """Blocks over Esplora's REST API."""

    kind = "esplora"

    def __init__(self, client: HttpClient) -> None:
        self._http = client
        self.name = f"esplora+{client.name}"

    def tip(self) -> Tip:
        """Two questions, height then hash at it, so that the pair fits even across a new block."""
        height = height_reply(self._text("/blocks/tip/height"), self.name, "tip height")
        found = self.block_hash(height)
        if found is None:
            raise ReplyError(
                f"{self.name} does not know the block at its own tip", field="tip", value=height,
                mend="its servers are out of step; it is tried again by itself",
            )
        return Tip(height, found)

    def block_hash(self, height: int) -> bytes | None:
        """The hash at `height`; None where the answer is 404."""
        reply = self._http.get(f"/block-height/{height}", limit=_SHORT_BYTES)
        if reply.status == 404:
            return None
        return hash_reply(self._ok(reply).text, self.name, f"hash at {height}")

    def block(self, block_hash: bytes) -> bytes:
        """The raw block, in one call."""
        reply = self._http.get(f"/block/{block_hash.hex()}/raw", limit=MAX_BLOCK_BYTES)
        if reply.status == 404:
            raise NotFoundError(
                f"{self.name} does not have the block", field="block", value=block_hash.hex(),
                mend="it may lag; another source is asked",
            )
        return block_reply(self._ok(reply).body, block_hash, self.name)

    def network(self) -> str | None:
        """The network of its block 0."""
        genesis = self.block_hash(0)
        return None if genesis is None else network_of_genesis(genesis)

    def _text(self, path: str) -> str:
        return self._ok(self._http.get(path, limit=_SHORT_BYTES)).text

    def _ok(self, reply: Reply) -> Reply:
        if reply.status == 200:
            return reply
        raise ReplyError(
            f"{self.name} answered with status {reply.status}", field="reply", value=reply.text,
            mend="check that the URL ends where the API begins, as in https://mempool.space/api",
        )
