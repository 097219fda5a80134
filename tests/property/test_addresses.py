"""Addresses of both chains: round trips, Core's vectors, and flipped cases."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_utils.address import is_checksum_address, to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from tests.data import shared_data
from tracker.chains.address import ParsedAddress, parse
from tracker.errors import AddressError, TrackerError

# Core's vectors name the chains as Core does. Testnet, testnet4 and signet share their prefixes.
NETWORKS = {
    "main": "mainnet",
    "test": "testnet",
    "testnet4": "testnet",
    "signet": "signet",
    "regtest": "regtest",
}


def vectors(name: str) -> list[Any]:
    path = shared_data() / "bitcoin" / "core_vectors" / name
    found: list[Any] = json.loads(path.read_text())
    return found


def test_every_valid_vector_parses_to_its_script_on_its_network() -> None:
    checked = 0
    for text, script, about in vectors("key_io_valid.json"):
        if about["isPrivkey"]:
            with pytest.raises(AddressError) as caught:
                parse("bitcoin", text)
            assert text not in str(caught.value)
            continue
        network = NETWORKS[about["chain"]]
        parsed = parse("bitcoin", text, network)
        assert parsed.key.hex() == script
        assert parse("bitcoin", parsed.address, network) == parsed
        if about.get("tryCaseFlip"):
            assert parse("bitcoin", text.swapcase(), network) == parsed
        if network == "mainnet":
            with pytest.raises(AddressError, match="mainnet"):
                parse("bitcoin", text, "regtest")
        checked += 1
    assert checked > 40


def test_every_invalid_vector_is_refused_on_every_network() -> None:
    refused = 0
    for (text,) in vectors("key_io_invalid.json"):
        for network in set(NETWORKS.values()):
            with pytest.raises(AddressError):
                parse("bitcoin", text, network)
        refused += 1
    assert refused > 40


@given(st.binary(min_size=20, max_size=20))
def test_the_canonical_text_is_that_of_another_implementation(key: bytes) -> None:
    parsed = parse("ethereum", "0x" + key.hex())
    assert parsed.key == key
    assert parsed.address == to_checksum_address(key)
    assert parse("ethereum", parsed.address) == parsed


@given(st.binary(min_size=20, max_size=20), st.sets(st.integers(2, 41), min_size=1))
def test_flipped_cases_pass_only_where_the_checksum_or_one_case_allows(
    key: bytes, places: set[int]
) -> None:
    right = to_checksum_address(key)
    flipped = "".join(
        char.swapcase() if place in places else char for place, char in enumerate(right)
    )
    one_case = flipped[2:] in (flipped[2:].lower(), flipped[2:].upper())
    if one_case or is_checksum_address(flipped):
        assert parse("ethereum", flipped).address == right
    else:
        with pytest.raises(AddressError):
            parse("ethereum", flipped)


def attempt(chain: str, text: str) -> ParsedAddress | TrackerError:
    try:
        return parse(chain, text)
    except TrackerError as error:
        return error


@given(st.text(max_size=120), st.sampled_from(["bitcoin", "ethereum", "other"]))
def test_no_text_raises_anything_but_our_errors(text: str, chain: str) -> None:
    found = attempt(chain, text)
    if isinstance(found, TrackerError):
        assert found.field in ("address", "chain")
        assert found.mend
    else:
        assert parse(chain, found.address) == found
