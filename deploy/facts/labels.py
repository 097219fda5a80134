"""Wallets and counterparties: sources without a free licence left out, tiers by source."""

from __future__ import annotations

import re
from pathlib import Path

from deploy.facts.files import Cells, read_csv
from tracker.chains import address as addresses
from tracker.domain.entity import Tier

# Business Source License: its rows may not be shipped.
LEFT_OUT = "github.com/duneanalytics/"

# Curated public projects, and the block explorer that one of them copies.
CURATED = (
    "https://github.com/DefiLlama/",
    "https://github.com/bitcoin-data/mining-pools/",
    "https://github.com/brianleect/etherscan-labels/",
    "https://github.com/graphsense/graphsense-tagpacks/",
    "https://etherscan.io/address/",
)
# The deposit contract's address on the protocol's own page, and scripts that nobody can spend.
OWN_PAGES = ("https://ethereum.org/", "https://en.bitcoin.it/wiki/Proof_of_burn")

# Label name, without its reserve suffix and after ` ` and `.com` went, to the slug of a venue.
VENUES = {
    "binance": "binance",
    "binancepool": "binance",
    "bitfinex": "bitfinex",
    "bitget": "bitget",
    "bitgetbtc": "bitget",
    "bitmex": "bitmex",
    "bybit": "bybit",
    "coinbase": "coinbase",
    "coinbasecbbtcreserve": "coinbase",
    "coinbasedeposit": "coinbase",
    "crypto": "crypto-com",
    "deribit": "deribit",
    "gate.io": "gate-io",
    "gate.iowrappedbtc": "gate-io",
    "gemini": "gemini-space-station",
    "hashkey": "hashkey",
    "hashkeyexchange": "hashkey",
    "huobi": "htx",
    "krakendeposit": "kraken",
    "kraken": "kraken",
    "krakenkbtcreserve": "kraken",
    "kucoin": "kucoin",
    "okx": "okx",
    "osl": "osl",
    "osl-hk": "osl",
    "river": "river",
    "wbtccustody": "bitgo",
}
_VENUE_CATEGORIES = frozenset({"exchange", "exchange_deposit", "custodian", "bridge"})
# `Jump Trading: Binance Deposit` is an address at Binance.
_DEPOSIT_AT = re.compile(r": (\w+) Deposit$")
# The role of an address that a venue gave to the entity: coins there have gone to the venue.
_AT_A_VENUE = "deposit"
# A firm's deposit to mint wrapped bitcoin is an address of the minter, not of the firm.
_MINT_DEPOSIT = "WBTC Merchant Deposit"


def wallets(data: Path) -> list[Cells]:
    """The wallets that may be shipped, by entity, chain and address."""
    made = [
        {name: row[name] for name in ("entity", "chain", "address", "role", "source", "note")}
        | {
            "tier": wallet_tier(row["confidence"], row["source"]),
            "script": script(row["chain"], row["address"]),
        }
        for row in _kept(data, "wallets")
        if row["role"] != _AT_A_VENUE
    ]
    return sorted(made, key=lambda row: (row["entity"], row["chain"], row["address"]))


def counterparties(data: Path) -> list[Cells]:
    """The labels that may be shipped, by chain and address."""
    found = _kept(data, "counterparties")
    known = {(row["chain"], row["address"]) for row in found}
    found += [
        {name: row[name] for name in ("chain", "address", "source")}
        | {"name": row["note"], "category": "exchange_deposit"}
        for row in _kept(data, "wallets")
        if row["role"] == _AT_A_VENUE and (row["chain"], row["address"]) not in known
    ]
    made = [
        row
        | {
            "entity": venue_of(row["name"], row["category"]),
            "tier": label_tier(row["source"]),
            "script": script(row["chain"], row["address"]),
        }
        for row in found
    ]
    return sorted(made, key=lambda row: (row["chain"], row["address"], row["name"]))


def _kept(data: Path, name: str) -> list[Cells]:
    rows = read_csv(data / "registry" / f"{name}.csv")
    return [row for row in rows if LEFT_OUT not in row["source"]]


def script(chain: str, address: str) -> str:
    """The script of a Bitcoin address in hexadecimal; nothing for one of Ethereum.

    Raises `AddressError` for an address that is not valid, and `ValueError` for one that is not
    written in the canonical way, which the package takes as it stands.
    """
    parsed = addresses.parse(chain, address)
    if parsed.address != address:
        raise ValueError(f"{address} is written {parsed.address}")
    return parsed.key.hex() if chain == addresses.BITCOIN else ""


def wallet_tier(confidence: str, source: str) -> Tier:
    """The tier of a wallet row; `published_by_entity` is a second-hand report of that."""
    if confidence == "proof_of_reserves":
        return Tier.ATTESTED
    if confidence == "published_by_entity":
        return Tier.VENDOR
    if confidence == "press":
        return Tier.HEURISTIC
    return label_tier(source)


def label_tier(source: str) -> Tier:
    """`vendor` for a curated public project, `heuristic` for a rich list or an article."""
    if source.startswith(OWN_PAGES):
        return Tier.ATTESTED
    return Tier.VENDOR if source.startswith(CURATED) else Tier.HEURISTIC


def venue_of(name: str, category: str) -> str:
    """The slug of the venue that a label names, or an empty text."""
    if category not in _VENUE_CATEGORIES or _MINT_DEPOSIT in name:
        return ""
    at = _DEPOSIT_AT.search(name)
    if at:
        return VENUES.get(at[1].lower(), "")
    plain = re.sub(r"\s*\(.*\)$", "", name).split(":")[0].lower()
    return VENUES.get(plain.replace(" ", "").removesuffix(".com"), "")
