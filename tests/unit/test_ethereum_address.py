"""Ethereum addresses: EIP-55's own examples, and each way of getting one wrong."""

from __future__ import annotations

import pytest

from tracker.chains.address import parse
from tracker.chains.ethereum import address as ethereum
from tracker.errors import AddressError, InputError

# The examples of EIP-55.
EXAMPLES = (
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
)


@pytest.mark.parametrize("example", EXAMPLES)
def test_any_case_is_accepted_and_shown_in_eip55(example: str) -> None:
    digits = example[2:]
    for given in (example, f"0x{digits.lower()}", f"0x{digits.upper()}", f"0X{digits.upper()}"):
        parsed = parse("ethereum", f"  {given}\n")
        assert parsed.address == example
        assert parsed.key == bytes.fromhex(digits)


def test_one_wrong_case_fails_the_checksum() -> None:
    with pytest.raises(AddressError) as caught:
        parse("ethereum", "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
    assert caught.value.field == "address"
    assert "EIP-55" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "write 0x5aAeb6053F3E"),
        ("vitalik.eth", "ENS"),
        ("treasury.lido.eth", "ENS"),
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe", "not 39"),
        ("0x", "not 0"),
        ("0xzz" + "0" * 38, "40 hexadecimal digits"),
        ("0x" + "\u0661" * 40, "not an address"),
        ("", "not an address"),
        ("0x" + "1_" * 20, "40 hexadecimal digits"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "40 hexadecimal digits"),
        ("0x" + "a" * 1000, "not an address"),
    ],
)
def test_other_forms_are_refused_with_a_mend(given: str, says: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse("ethereum", given)
    assert says in str(caught.value)
    assert caught.value.mend


@pytest.mark.parametrize("number", [0, 1, 9, 0x11, 0x100, 0xFFFF])
def test_reserved_addresses_are_labels_but_no_wallets(number: int) -> None:
    given = "0x" + number.to_bytes(20).hex()
    assert parse("ethereum", given).key == number.to_bytes(20)
    with pytest.raises(AddressError, match="nobody holds the key"):
        parse("ethereum", given, wallet=True)


def test_the_first_address_above_the_reserved_range_can_be_a_wallet() -> None:
    assert not ethereum.is_reserved((0x1_0000).to_bytes(20))
    assert parse("ethereum", "0x" + (0x1_0000).to_bytes(20).hex(), wallet=True)


@pytest.mark.parametrize(
    "secret",
    [
        "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ",
        "KwdMAjGmerYanjeui5SHS7JkmpZvVipYvB2LJGU1ZxJwYvP98617",
        "0x" + "1f" * 32,
        "1F" * 32,
        "xprv" + "9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPG",
    ],
)
@pytest.mark.parametrize("chain", ["bitcoin", "ethereum"])
def test_a_private_key_is_refused_and_not_repeated(chain: str, secret: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse(chain, secret)
    assert caught.value.value is None
    assert secret not in str(caught.value)
    assert secret not in repr(caught.value.__dict__)


def test_an_unknown_chain_is_named() -> None:
    with pytest.raises(InputError, match="bitcoin, ethereum") as caught:
        parse("solana", EXAMPLES[0])
    assert (caught.value.field, caught.value.value) == ("chain", "solana")
