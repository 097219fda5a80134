"""The network table against the consensus library itself."""

from __future__ import annotations

from pathlib import Path

import pbk
import pytest

from tracker.chains.bitcoin.network import NETWORKS, network_named, network_of_genesis
from tracker.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pbk.ChainType.MAINNET, "mainnet"), (pbk.ChainType.TESTNET, "testnet"),
        (pbk.ChainType.TESTNET_4, "testnet"), (pbk.ChainType.SIGNET, "signet"),
        (pbk.ChainType.REGTEST, "regtest"),
    ],
)
def test_first_blocks_and_limits(kind: pbk.ChainType, name: str, tmp_path: Path) -> None:
    options = pbk.ContextOptions()
    options.set_chainparams(pbk.ChainParameters(kind))
    context = pbk.Context(options)
    manager = pbk.ChainstateManagerOptions(context, str(tmp_path), str(tmp_path / "blocks"))
    manager.update_block_tree_db_in_memory(True)
    manager.update_chainstate_db_in_memory(True)
    chainstate = pbk.ChainstateManager(manager)  # its views die with it
    first = chainstate.get_active_chain().block_tree_entries[0]
    assert network_of_genesis(bytes(first.block_hash)[::-1]) == name
    # The genesis block of each network is mined at its limit.
    assert first.block_header.bits == NETWORKS[name].limit_bits


def test_a_foreign_chain_is_named_as_such() -> None:
    assert network_of_genesis(b"\x53" * 32) == "another chain (genesis 5353535353535353…)"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown Bitcoin network") as caught:
        network_named("main")
    assert caught.value.mend == "use one of mainnet, testnet, signet, regtest"
