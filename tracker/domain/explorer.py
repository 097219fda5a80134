"""Where a person can look a transaction up."""

from __future__ import annotations

_BITCOIN = {
    "mainnet": "https://mempool.space/tx/",
    "testnet": "https://mempool.space/testnet/tx/",
    "signet": "https://mempool.space/signet/tx/",
}


def bitcoin_tx_url(network: str, tx: bytes) -> str | None:
    """A public explorer's page of `tx` (display order); None where no network is public."""
    base = _BITCOIN.get(network)
    return None if base is None else base + tx.hex()
