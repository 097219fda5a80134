"""The Bitcoin networks: what names their addresses, their first block and their easiest target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tracker.errors import ConfigError

# retarget: bits follow the epoch's rule. minimum: any target up to the limit (test networks let a
# block be easy when 20 minutes passed, regtest always), so only hash <= target is checked.
PowRule = Literal["retarget", "minimum"]


@dataclass(frozen=True, slots=True)
class Network:
    """Parameters of one network. `hrp` opens segwit addresses; the bytes open base58 ones."""

    name: str
    hrp: str
    p2pkh: int
    p2sh: int
    genesis: frozenset[str]  # hashes in display order; testnet means testnet3 or testnet4
    limit_bits: int
    rule: PowRule


# Source: Bitcoin Core, kernel/chainparams.cpp. The first blocks and limits are compared with the
# consensus library itself in tests/unit/test_bitcoin_network.py.
NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network(
            "mainnet", "bc", 0x00, 0x05,
            frozenset({"000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"}),
            0x1D00FFFF, "retarget",
        ),
        Network(
            "testnet", "tb", 0x6F, 0xC4,
            frozenset({
                "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943",
                "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043",
            }),
            0x1D00FFFF, "minimum",
        ),
        Network(
            "signet", "tb", 0x6F, 0xC4,
            frozenset({"00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6"}),
            0x1E0377AE, "retarget",
        ),
        Network(
            "regtest", "bcrt", 0x6F, 0xC4,
            frozenset({"0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"}),
            0x207FFFFF, "minimum",
        ),
    )
}


def network_named(name: str) -> Network:
    """The parameters of the network `name`; raises `ConfigError` for any other name."""
    try:
        return NETWORKS[name]
    except KeyError:
        raise ConfigError(
            "unknown Bitcoin network", field="network", value=name,
            mend=f"use one of {', '.join(NETWORKS)}",
        ) from None


def network_of_genesis(genesis: bytes) -> str:
    """The name of the network whose first block is `genesis`.

    A chain that is none of Bitcoin's gets a name that says so, and so equals no configured one.
    """
    for network in NETWORKS.values():
        if genesis.hex() in network.genesis:
            return network.name
    return f"another chain (genesis {genesis.hex()[:16]}…)"
