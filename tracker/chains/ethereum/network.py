"""The names of Ethereum's chains, told by chain id and first block."""

from __future__ import annotations

MAINNET = "mainnet"

# Chain ids: https://chainid.network ; first blocks: the nodes' built-in genesis configurations.
_PUBLIC: dict[int, tuple[str, str]] = {
    1: (MAINNET, "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"),
    11_155_111: ("sepolia", "0x25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9"),
    560_048: ("hoodi", "0xbbe312868b376a3001692a646dd2d7d1e4406380dfd86b98aa8a34d1557c971b"),
}


def network_name(chain_id: int, genesis: str | None = None) -> str:
    """`mainnet`, `sepolia`, `hoodi`, else `chain-31337` with the chain id.

    With the hash of a first block that is not the public chain's own: `another chain (…)`.
    """
    if chain_id not in _PUBLIC:
        return f"chain-{chain_id}"
    name, first = _PUBLIC[chain_id]
    if genesis is not None and genesis != first:
        return f"another chain (id {chain_id}, first block {genesis})"
    return name
