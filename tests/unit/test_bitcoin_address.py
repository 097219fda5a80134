"""Addresses and scripts: Bitcoin Core's vectors, wrong networks, secrets, odd scripts."""

from __future__ import annotations

import json

import pytest

from tests.data import shared_data
from tracker.chains.bitcoin.address import address_of, display, script_of
from tracker.chains.bitcoin.network import NETWORKS
from tracker.errors import AddressError, ConfigError

CHAINS = {
    "main": "mainnet", "test": "testnet", "testnet4": "testnet", "signet": "signet",
    "regtest": "regtest",
}
GENESIS_KEY_SCRIPT = (
    "4104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec1"
    "12de5c384df7ba0b8d578a4c702b6bf11d5fac"
)


def vectors(name: str) -> list[list[object]]:
    path = shared_data() / "bitcoin" / "core_vectors" / name
    found: list[list[object]] = json.loads(path.read_text())
    return found


def test_every_valid_address_of_core_both_ways() -> None:
    seen = 0
    for address, payload, about in vectors("key_io_valid.json"):
        assert isinstance(about, dict)
        assert isinstance(address, str)
        assert isinstance(payload, str)
        if about["isPrivkey"]:
            continue
        network = CHAINS[about["chain"]]
        script = bytes.fromhex(payload)
        assert script_of(address, network) == script
        flipped = address.swapcase()
        if about.get("tryCaseFlip"):
            assert script_of(flipped, network) == script
        canonical = min(address, flipped, key=lambda text: text != text.lower())
        assert address_of(script, network) == (canonical if about.get("tryCaseFlip") else address)
        seen += 1
    assert seen > 30


def test_every_invalid_address_of_core_and_every_private_key_is_refused() -> None:
    texts = [str(row[0]) for row in vectors("key_io_invalid.json")]
    texts += [
        str(text) for text, _, about in vectors("key_io_valid.json")
        if isinstance(about, dict) and about["isPrivkey"]
    ]
    assert len(texts) > 60
    for text in texts:
        for network in NETWORKS:
            with pytest.raises(AddressError):
                script_of(text, network)


def test_a_private_key_does_not_come_back_in_the_error() -> None:
    keys = [
        str(text) for text, _, about in vectors("key_io_valid.json")
        if isinstance(about, dict) and about["isPrivkey"]
    ]
    for text in keys:
        with pytest.raises(AddressError, match="private key") as caught:
            script_of(text, "mainnet")
        assert text not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "network", "home"),
    [
        ("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "mainnet", "testnet or signet"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "testnet", "mainnet"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "regtest", "mainnet"),
        ("mzK2FFDEhxqHcmrJw1ysqFkVyhUULo45hZ", "mainnet", "testnet or signet or regtest"),
    ],
)
def test_an_address_of_another_network_names_its_own(
    address: str, network: str, home: str
) -> None:
    with pytest.raises(AddressError, match=f"belongs to {home}") as caught:
        script_of(address, network)
    assert caught.value.value == address


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "0x742d35Cc6634C0532925a3b844Bc454e4438f44e", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", "1" * 91, "ä" * 34, "1A1zP1eP5QGefi2D\nPTfT",
        "script:", "script:zz", "script:" + "00" * 10_001, "bc1", "1",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        script_of(text, "mainnet")
    assert caught.value.field == "address"
    assert caught.value.mend


def test_scripts_without_an_address_have_a_form_of_their_own() -> None:
    script = bytes.fromhex(GENESIS_KEY_SCRIPT)
    assert address_of(script, "mainnet") is None
    text = display(script, "mainnet")
    assert text == "script:" + GENESIS_KEY_SCRIPT
    assert script_of(text, "mainnet") == script
    assert script_of(text, "regtest") == script


@pytest.mark.parametrize(
    "script",
    [
        "", "6a", "00", "0014", "0013" + "00" * 19, "0015" + "00" * 21, "5101aa",
        "4f20" + "00" * 32, "5129" + "00" * 41, "6120" + "00" * 32, "76a914" + "00" * 20 + "88ad",
        "a914" + "00" * 20 + "88",
    ],
)
def test_near_misses_have_no_address(script: str) -> None:
    assert address_of(bytes.fromhex(script), "mainnet") is None


def test_pay_to_anchor_and_space_around() -> None:
    assert script_of(" bc1pfeessrawgf ", "mainnet").hex() == "51024e73"
    assert address_of(bytes.fromhex("51024e73"), "mainnet") == "bc1pfeessrawgf"


def test_an_unknown_network_is_a_config_error() -> None:
    with pytest.raises(ConfigError):
        script_of("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "main")
