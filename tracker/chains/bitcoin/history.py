"""Where a script was used, by an Esplora server, page by page from the newest."""

from __future__ import annotations

import msgspec

from tracker.chains.bitcoin.esplora_api import EsploraApi, Hash, ScriptStats, Status
from tracker.domain.coins import ScriptHistory
from tracker.errors import LongHistoryError, ReplyError


class HistoryTx(msgspec.Struct):
    """A transaction of a page, by its place."""

    txid: Hash
    status: Status


def read_history(api: EsploraApi, script: bytes, limit: int) -> ScriptHistory:
    """The newest `limit` confirmed transactions of `script`.

    A page is 25 transactions at most servers, fewer at some, so only an empty one ends the list
    before the server's own count does. Raises `ReplyError` where pages repeat or go upwards.
    """
    total = _count(api, script)
    found: dict[bytes, int] = {}
    tail = "/txs/chain"
    while len(found) < min(total, limit):
        page = api.of_script(script, tail, list[HistoryTx])
        if not page:
            break
        lowest = min(found.values(), default=None)
        for row in page:
            txid, height = bytes.fromhex(row.txid), row.status.block_height
            if height is None or txid in found or (lowest is not None and height > lowest):
                raise ReplyError(
                    f"{api.name} sent a page of history that does not follow the last",
                    field="history", value=row.txid, mend="take it from another source",
                )
            found[txid] = height
        tail = f"/txs/chain/{page[-1].txid}"
    newest = tuple(found.items())[:limit]
    return ScriptHistory(newest, complete=len(newest) >= total)


def first_used(api: EsploraApi, script: bytes, limit: int) -> int | None:
    """The height of the first transaction of `script`; None where it has none.

    Raises `LongHistoryError` where it has more than `limit`: the first comes on the last page.
    """
    total = _count(api, script)
    if total == 0:
        return None
    if total > limit:
        raise LongHistoryError(
            f"the script has {total} transactions, and at most {limit} are read", field="script",
            value=script.hex(), mend="raise the limit, or give the height yourself",
        )
    history = read_history(api, script, limit)
    if not history.complete:
        raise ReplyError(
            f"{api.name} sent fewer transactions than it counts", field="history",
            value=f"{len(history.transactions)} of {total}", mend="take it from another source",
        )
    return min(height for _, height in history.transactions)


def _count(api: EsploraApi, script: bytes) -> int:
    return api.of_script(script, "", ScriptStats).chain_stats.tx_count
