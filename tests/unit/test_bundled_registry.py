"""The registry that ships: who is in it, whose addresses, and how far each label is trusted."""

from __future__ import annotations

from collections import Counter

import pytest
from embit.script import address_to_scriptpubkey
from eth_utils.address import is_checksum_address

from tracker.chains.address import parse
from tracker.domain.entity import Category, Kind, Role, Tier
from tracker.registry.bundled import (
    BundledCounterparty,
    BundledEntity,
    BundledWallet,
    counterparties,
    entities,
    wallets,
)


@pytest.fixture(scope="module")
def by_slug() -> dict[str, BundledEntity]:
    return {entity.slug: entity for entity in entities()}


@pytest.fixture(scope="module")
def known_wallets() -> list[BundledWallet]:
    return list(wallets())


@pytest.fixture(scope="module")
def labels() -> list[BundledCounterparty]:
    return list(counterparties())


def test_counts(
    by_slug: dict[str, BundledEntity],
    known_wallets: list[BundledWallet],
    labels: list[BundledCounterparty],
) -> None:
    assert (len(by_slug), len(known_wallets), len(labels)) == (320, 1786, 13270)
    kinds = Counter(entity.kind for entity in by_slug.values())
    assert (kinds[Kind.DAT], kinds[Kind.SOVEREIGN], kinds[Kind.ETF]) == (196, 14, 20)


def test_slugs_are_unique_and_sorted(by_slug: dict[str, BundledEntity]) -> None:
    listed = [entity.slug for entity in entities()]
    assert listed == sorted(set(listed))
    assert len(listed) == len(by_slug)


def test_private_funds_and_daos_are_switched_off(by_slug: dict[str, BundledEntity]) -> None:
    off = {entity.kind for entity in by_slug.values() if not entity.enabled}
    on = {entity.kind for entity in by_slug.values() if entity.enabled}
    assert off == {Kind.PRIVATE, Kind.DAO}
    assert not off & on


@pytest.mark.parametrize(
    ("slug", "treasury_class"),
    [
        ("strategy", "pure"),
        ("bitmine", "pure"),
        ("metaplanet", "pure"),
        ("mara", "miner"),
        ("riot", "miner"),
        ("tesla", "operating"),
        ("gamestop", "operating"),
        ("zooz", None),
        ("ibit", None),
    ],
)
def test_treasury_class(
    by_slug: dict[str, BundledEntity], slug: str, treasury_class: str | None
) -> None:
    assert by_slug[slug].treasury_class == treasury_class


@pytest.mark.parametrize("venue", ["coinbase", "bullish", "gemini-space-station"])
def test_a_listed_exchange_is_two_entities(by_slug: dict[str, BundledEntity], venue: str) -> None:
    exchange, holder = by_slug[venue], by_slug[f"{venue}-corporate"]
    assert (exchange.kind, exchange.role, exchange.ticker) == (Kind.EXCHANGE, Role.VENUE, None)
    assert (holder.kind, holder.role) == (Kind.DAT, Role.HOLDER)
    assert holder.ticker
    assert holder.treasury_class == "operating"


def test_every_listed_venue_is_split(by_slug: dict[str, BundledEntity]) -> None:
    assert not [e.slug for e in by_slug.values() if e.role is Role.VENUE and e.ticker]


def test_no_row_of_the_set_under_a_business_licence(
    known_wallets: list[BundledWallet], labels: list[BundledCounterparty]
) -> None:
    sources = {row.source for row in known_wallets} | {row.source for row in labels}
    assert len(sources) > 100
    assert not [source for source in sources if "spellbook" in source or "dune" in source]


def test_every_address_passes_its_checksum(
    known_wallets: list[BundledWallet], labels: list[BundledCounterparty]
) -> None:
    addresses = {(row.chain, row.address) for row in known_wallets}
    addresses |= {(row.chain, row.address) for row in labels}
    for chain, address in addresses:
        if chain == "bitcoin":
            assert address_to_scriptpubkey(address).address() == address
        else:
            assert is_checksum_address(address), address


def test_the_carried_key_is_what_the_address_gives(
    known_wallets: list[BundledWallet], labels: list[BundledCounterparty]
) -> None:
    for row in known_wallets:
        parsed = parse(row.chain, row.address, wallet=True)
        assert (parsed.address, parsed.key) == (row.address, row.key)
    for label in labels:
        parsed = parse(label.chain, label.address)
        assert (parsed.address, parsed.key) == (label.address, label.key)


def test_an_address_has_one_owner_and_one_label(
    known_wallets: list[BundledWallet], labels: list[BundledCounterparty]
) -> None:
    assert len({(row.chain, row.address) for row in known_wallets}) == len(known_wallets)
    assert len({(row.chain, row.address) for row in labels}) == len(labels)


def test_owners_are_known(
    by_slug: dict[str, BundledEntity],
    known_wallets: list[BundledWallet],
    labels: list[BundledCounterparty],
) -> None:
    assert {row.entity for row in known_wallets} <= by_slug.keys()
    named = {row.entity for row in labels if row.entity is not None}
    assert {by_slug[slug].role for slug in named} == {Role.VENUE}
    assert {"binance", "coinbase", "kraken", "okx", "bitgo"} <= named


def test_tiers(known_wallets: list[BundledWallet], labels: list[BundledCounterparty]) -> None:
    """A proof of reserves is attested; a report that somebody published an address is not."""
    tiers = {
        slug: {row.tier for row in known_wallets if row.entity == slug}
        for slug in ("okx", "el-salvador", "mara", "mt-gox", "us-government", "germany-bka")
    }
    assert tiers == {
        "okx": {Tier.ATTESTED},
        "el-salvador": {Tier.VENDOR},
        "mara": {Tier.VENDOR},
        "mt-gox": {Tier.VENDOR},
        "us-government": {Tier.VENDOR, Tier.HEURISTIC},
        "germany-bka": {Tier.HEURISTIC},
    }
    press = [row for row in known_wallets if row.role == "custody" and row.entity == "twenty-one"]
    assert [row.tier for row in press] == [Tier.HEURISTIC]
    assert Counter(row.tier for row in known_wallets) == {
        Tier.ATTESTED: 1429, Tier.VENDOR: 346, Tier.HEURISTIC: 11,
    }  # fmt: skip
    assert Counter(row.tier for row in labels) == {
        Tier.VENDOR: 13256, Tier.HEURISTIC: 10, Tier.ATTESTED: 4,
    }  # fmt: skip


def test_wallets_that_the_rest_counts_on(known_wallets: list[BundledWallet]) -> None:
    owners = {row.address: (row.entity, row.role) for row in known_wallets}
    assert owners["15MdAHnkxt9TMC2Rj595hsg8Hnv693pPBB"] == ("mara", "mining")
    assert Counter(row.entity for row in known_wallets)["el-salvador"] == 20


def test_where_wallet_and_label_meet_the_wallet_owns(
    by_slug: dict[str, BundledEntity],
    known_wallets: list[BundledWallet],
    labels: list[BundledCounterparty],
) -> None:
    """975 addresses are both, and no label names another venue than the wallet's owner."""
    owner = {(row.chain, row.address): row.entity for row in known_wallets}
    both = [row for row in labels if (row.chain, row.address) in owner]
    assert len(both) == 975
    assert not [row for row in both if row.entity not in (None, owner[row.chain, row.address])]
    assert Counter(by_slug[owner[row.chain, row.address]].role for row in both) == {
        Role.VENUE: 948,
        Role.HOLDER: 27,
    }


def test_a_deposit_address_at_a_venue_is_no_wallet_of_the_depositor(
    known_wallets: list[BundledWallet], labels: list[BundledCounterparty]
) -> None:
    assert "deposit" not in {row.role for row in known_wallets}
    deposits = {row.name: row.entity for row in labels if row.name.endswith("Binance Deposit")}
    assert deposits == {
        "Jump Trading: Binance Deposit": "binance",
        "Wintermute: Binance Deposit": "binance",
    }


def test_the_deposit_contract_is_staking(labels: list[BundledCounterparty]) -> None:
    found = {row.address: row for row in labels}["0x00000000219ab540356cBB839Cbe05303d7705Fa"]
    assert (found.category, found.tier) == (Category.STAKING, Tier.ATTESTED)
