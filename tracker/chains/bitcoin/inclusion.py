"""That a transaction stands in a mined block: its merkle branch, and the block's proof of work.

The branch is in the form of Electrum's blockchain.transaction.get_merkle: the hashes beside the way
up, in display order, and the transaction's place in the block.
"""

from __future__ import annotations

import msgspec

from tracker.chains.bitcoin.esplora_api import Count, EsploraApi, Hash, Height
from tracker.chains.bitcoin.header import HEADER_BYTES, Header, double_sha256, parse_header
from tracker.chains.bitcoin.pow import check_header
from tracker.chains.check import hash_reply
from tracker.errors import ReplyError, SourceUnavailableError

_MAX_KEPT = 20_000
_MAX_DEPTH = 20  # 4,000,000 weight units hold fewer than 2**20 transactions


class Branch(msgspec.Struct):
    """A transaction's way up to the merkle root."""

    block_height: Height
    merkle: list[Hash]
    pos: Count


def root_of(txid: bytes, branch: Branch) -> bytes:
    """The merkle root (display order) that `branch` leads to from `txid`.

    Raises `ValueError` where the place does not fit the number of hashes.
    """
    if len(branch.merkle) > _MAX_DEPTH or branch.pos >> len(branch.merkle):
        raise ValueError("the place in the block does not fit the branch")
    node, place = txid[::-1], branch.pos
    for beside in branch.merkle:
        other = bytes.fromhex(beside)[::-1]
        node = double_sha256(other + node if place & 1 else node + other)
        place >>= 1
    return node[::-1]


class InclusionProof:
    """Proofs by one server; what was proved and the headers for it are kept."""

    def __init__(self, api: EsploraApi, network: str) -> None:
        self._api = api
        self._network = network
        self._headers: dict[int, Header] = {}
        self._checked: set[tuple[bytes, int]] = set()

    def check(self, txid: bytes, height: int) -> None:
        """Raise unless `txid` stands in a mined block at `height`.

        `ReplyError` where the proof is wrong, `InvalidBlockError` where the header has no work,
        `SourceUnavailableError` where the server names another height by now (a fork).
        """
        if (txid, height) in self._checked:
            return
        branch = self._api.read(f"/tx/{txid.hex()}/merkle-proof", Branch)
        if branch.block_height != height:
            raise SourceUnavailableError(
                f"{self._api.name} moved a transaction to another block meanwhile",
                field="height", value=f"{txid.hex()}: {height}, then {branch.block_height}",
                mend="it is tried again by itself",
            )
        try:
            root = root_of(txid, branch)
        except ValueError as error:
            raise self._wrong(txid, str(error)) from None
        if root != self._header(height).merkle_root:
            self._headers.pop(height, None)  # a fork may have put another block there since
            if root != self._header(height).merkle_root:
                raise self._wrong(txid, f"it is not in the block at {height}")
        if len(self._checked) >= _MAX_KEPT:
            self._checked.clear()
            self._headers.clear()
        self._checked.add((txid, height))

    def _header(self, height: int) -> Header:
        if height not in self._headers:
            asked = hash_reply(
                self._api.text(f"/block-height/{height}"), self._api.name, f"hash at {height}"
            )
            text = self._api.text(f"/block/{asked.hex()}/header")
            try:
                raw = bytes.fromhex(text)
            except ValueError:
                raw = b""
            if len(raw) != HEADER_BYTES or parse_header(raw).hash != asked:
                raise ReplyError(
                    f"{self._api.name} sent another header than {asked.hex()}", field="header",
                    value=text, mend="take it from another source",
                )
            header = parse_header(raw)
            check_header(header, height, self._network)
            self._headers[height] = header
        return self._headers[height]

    def _wrong(self, txid: bytes, why: str) -> ReplyError:
        return ReplyError(
            f"{self._api.name} does not prove a transaction: {why}", field="merkle-proof",
            value=txid.hex(), mend="take it from another source",
        )
