"""Bitcoin Core as a source: its REST interface where it is on (`-rest`), else JSON-RPC.

Sources: Bitcoin Core, doc/REST-interface.md and src/rest.cpp. REST sends bytes as they are; RPC
sends them as hex, twice the size and time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tracker.chains.bitcoin.block import MAX_BLOCK_BYTES
from tracker.chains.bitcoin.enrich import coins_of_parents, spent_in_block, verbose_prevouts
from tracker.chains.bitcoin.network import network_of_genesis
from tracker.chains.bitcoin.rpc import CoreRpc
from tracker.chains.bitcoin.transaction import Transaction, transaction_reply
from tracker.chains.bitcoin.utxo_scan import PROGRESS_SECONDS, Progress, UtxoScan
from tracker.chains.check import block_reply, hash_reply, height_reply
from tracker.chains.http import HttpClient, Reply
from tracker.domain.chain import Tip
from tracker.domain.coins import UtxoSnapshot
from tracker.domain.match import Coin, ScannedTx
from tracker.errors import ConfigError, NotFoundError, ReplyError

_SHORT_BYTES = 256 * 1024
_VERBOSE_BLOCK_BYTES = 64_000_000  # 13 MB in ordinary blocks
# A block spends at most some 100,000 coins; a script in one may be 10,000 bytes.
_SPENT_BYTES = 64_000_000
_MAX_PARENTS = 2_000
COOKIE_NAME = ".cookie"  # Bitcoin Core, -rpccookiefile


class CoreSource:
    """A Bitcoin Core node, whose word is taken: it validates what it says.

    `connect` opens the client anew: it is called again when the node refuses the credentials,
    because a node writes a new cookie at each start. `patient` opens one that waits for a scan of
    all unspent outputs, minutes on mainnet; None where `connect` has to do.
    """

    kind = "core"

    def __init__(
        self, connect: Callable[[], HttpClient], *,
        patient: Callable[[], HttpClient] | None = None, poll_seconds: float = PROGRESS_SECONDS,
    ) -> None:
        self._rpc = CoreRpc(connect)
        self.name = self._rpc.name
        self._rest: bool | None = None
        self._scan = UtxoScan(connect, patient or connect, poll_seconds=poll_seconds)
        self._spent: tuple[bytes, bytes] | None = None  # the block asked for last, its spent coins
        self._verbose_blocks = True

    def tip(self) -> Tip:
        """Height and hash of one answer, so that they fit."""
        if self._use_rest():
            reply = self._rpc.http.get("/rest/chaininfo.json", limit=_SHORT_BYTES)
            info = self._rpc.json(self._ok(reply))
        else:
            info = self._rpc.call("getblockchaininfo")
        if not isinstance(info, dict):
            raise self._rpc.strange("chain info", info)
        return Tip(
            height_reply(info.get("blocks"), self.name, "blocks"),
            hash_reply(info.get("bestblockhash"), self.name, "bestblockhash"),
        )

    def block_hash(self, height: int) -> bytes | None:
        """The hash of the active chain at `height`; None above its tip."""
        what = f"hash at {height}"
        if self._use_rest():
            reply = self._rpc.http.get(f"/rest/blockhashbyheight/{height}.hex", limit=_SHORT_BYTES)
            # The node says 404 above its tip, and 400 for a height that no chain can have.
            if reply.status in (400, 404):
                return None
            return hash_reply(self._ok(reply).text, self.name, what)
        try:
            return hash_reply(self._rpc.call("getblockhash", height), self.name, what)
        except NotFoundError:
            return None

    def block(self, block_hash: bytes) -> bytes:
        """The raw block, by REST as bytes, by RPC as hex (verbosity 0)."""
        name = block_hash.hex()
        if self._use_rest():
            reply = self._rpc.http.get(f"/rest/block/{name}.bin", limit=MAX_BLOCK_BYTES)
            if reply.status == 404:
                raise self._rpc.absent(name, reply.text)
            raw = self._ok(reply).body
        else:
            text = self._rpc.call("getblock", name, 0)
            try:
                raw = bytes.fromhex(text)
            except (TypeError, ValueError):
                raise self._rpc.strange("block", text) from None
        return block_reply(raw, block_hash, self.name)

    def network(self) -> str | None:
        """The network of its block 0."""
        genesis = self.block_hash(0)
        return None if genesis is None else network_of_genesis(genesis)

    def snapshot(
        self, scripts: Sequence[bytes], progress: Progress | None = None
    ) -> UtxoSnapshot:
        """What `scripts` hold at the node's tip, by one scan of all unspent outputs.

        Minutes on mainnet. Raises `SourceUnavailableError` while another scan runs.
        """
        return self._scan.run(scripts, progress)

    def balance(self, scripts: Sequence[bytes]) -> tuple[Tip, dict[bytes, int]]:
        """The sums of a snapshot: as slow as one."""
        found = self._scan.run(scripts)
        return found.tip, found.balances()

    def prevouts(self, block_hash: bytes, tx: ScannedTx) -> Mapping[bytes, Coin]:
        """The coins that `tx` spent, by the first way that the node knows.

        REST's spenttxouts (Core 30), getrawtransaction at verbosity 2 (Core 25), getblock at
        verbosity 3 (Core 23), or else each parent transaction, which needs -txindex.
        """
        if tx.coinbase:
            return {}
        if self._use_rest():
            raw = self._spent_outputs(block_hash)
            if raw is not None:
                return spent_in_block(raw, tx, self.name)
        try:
            found = self._verbose(block_hash, tx)
        except ConfigError:
            if not self._rest:
                raise
            found = None  # REST needs no credentials: what it has may still do
        if found is not None:
            return found
        return coins_of_parents(tx, self._parent, limit=_MAX_PARENTS)

    def raw_transaction(self, txid: bytes) -> bytes:
        """The transaction's bytes; raises `NotFoundError` where the node keeps no index of them."""
        name = txid.hex()
        if self._use_rest():
            reply = self._rpc.http.get(f"/rest/tx/{name}.bin", limit=MAX_BLOCK_BYTES)
            if reply.status == 404:
                raise self._rpc.absent(name, reply.text, field="transaction")
            return self._ok(reply).body
        try:
            return bytes.fromhex(self._rpc.call("getrawtransaction", name, False))
        except (TypeError, ValueError):
            raise self._rpc.strange("transaction", name) from None

    def _spent_outputs(self, block_hash: bytes) -> bytes | None:
        if self._spent is None or self._spent[0] != block_hash:
            path = f"/rest/spenttxouts/{block_hash.hex()}.bin"
            reply = self._rpc.http.get(path, limit=_SPENT_BYTES)
            if reply.status != 200:  # a node before Core 30, or one without the block's undo data
                return None
            self._spent = (block_hash, reply.body)
        return self._spent[1]

    def _verbose(self, block_hash: bytes, tx: ScannedTx) -> dict[bytes, Coin] | None:
        block, name = block_hash.hex(), tx.txid.hex()
        found = self._asked("getrawtransaction", name, 2, block)
        coins = verbose_prevouts(found, tx, self.name)
        if coins is None and self._verbose_blocks:
            whole = self._asked("getblock", block, 3)
            rows = whole.get("tx") if isinstance(whole, dict) else None
            if isinstance(rows, list) and tx.position < len(rows):
                coins = verbose_prevouts(rows[tx.position], tx, self.name)
                self._verbose_blocks = coins is not None  # megabytes: not asked for in vain again
        return coins

    def _asked(self, method: str, *params: object) -> Any:
        try:
            return self._rpc.call(method, *params, limit=_VERBOSE_BLOCK_BYTES)
        except NotFoundError:
            return None

    def _parent(self, txid: bytes) -> Transaction | None:
        try:
            return transaction_reply(self.raw_transaction(txid), txid, self.name)
        except NotFoundError:
            return None

    def _use_rest(self) -> bool:
        """Whether REST is on: a node without `-rest` says 404, or 401 from the RPC behind it."""
        if self._rest is None:
            reply = self._rpc.http.get("/rest/chaininfo.json", limit=_SHORT_BYTES)
            self._rest = reply.status == 200
        return self._rest

    def _ok(self, reply: Reply) -> Reply:
        if reply.status == 200:
            return reply
        self._rest = None  # perhaps a node that was started again without it
        raise ReplyError(
            f"{self.name} answered with status {reply.status}", field="reply", value=reply.text,
            mend="check that the URL is the node's RPC address",
        )


def read_cookie(path: str) -> tuple[str, str]:
    """User and password of a node's cookie: `path` is the file, or the folder with `.cookie` in it.

    The folder is the node's data folder of its network: `~/.bitcoin`, `~/.bitcoin/signet`…
    Raises `ConfigError` naming the path, never what is in the file.
    """
    try:
        place = Path(path).expanduser()
        if place.is_dir():
            place /= COOKIE_NAME
        with place.open(encoding="utf-8") as file:
            user, colon, password = file.read(1024).strip().partition(":")
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: ~ of an unknown user
        raise ConfigError(
            f"the cookie file cannot be read ({type(error).__name__})",
            field="TRACKER_BITCOIN_SOURCES", value=path,
            mend="start the node, and let this user read the file: Bitcoin Core's "
            "-rpccookieperms=group, or a user and password of rpcauth",
        ) from None
    if not colon or not password:
        raise ConfigError(
            "the cookie file is not of the form user:password",
            field="TRACKER_BITCOIN_SOURCES", value=path, mend="give the node's own .cookie file",
        )
    return user, password
