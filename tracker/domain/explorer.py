"""Where a person can look a transaction up."""

from __future__ import annotations

_BITCOIN = {
    "mainnet": "https://mempool.space/tx/",
    "testnet": "https://mempool.space/testnet/tx/",
    "signet": "https://mempool.space/signet/tx/",
}
_ETHEREUM = {
    "mainnet": "https://etherscan.io/tx/0x",
    "sepolia": "https://sepolia.etherscan.io/tx/0x",
}
_PAGES = {"bitcoin": _BITCOIN, "ethereum": _ETHEREUM}


def tx_url(chain: str, network: str, tx: bytes) -> str | None:
    """A public explorer's page of `tx` (display order); None where no network is public."""
    base = _PAGES.get(chain, {}).get(network)
    return None if base is None or not tx else base + tx.hex()
