"""The maintainer's tool: the same data gives the committed files again, to the byte."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from deploy.carry_facts import ROOT, carry
from deploy.facts import files
from deploy.facts.disclosures import trade_in, utc_of
from deploy.facts.labels import label_tier, venue_of, wallet_tier
from tests.data import shared_data
from tracker.domain.entity import Tier


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("facts")


@pytest.fixture(scope="module")
def made(folder: Path) -> list[Path]:
    return carry(shared_data(), folder)


def test_the_committed_files_are_what_the_data_gives(folder: Path, made: list[Path]) -> None:
    assert len(made) == 8
    for path in made:
        committed = ROOT / path.relative_to(folder)
        assert files.unpacked(path) == files.unpacked(committed), committed.name


def test_a_second_run_writes_nothing(folder: Path, made: list[Path]) -> None:
    first = [path.stat().st_mtime_ns for path in made]
    assert carry(shared_data(), folder) == made
    assert [path.stat().st_mtime_ns for path in made] == first


def test_a_folder_without_data_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.carry_facts", "--data", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr
    assert "--data" in done.stderr


def test_a_table_that_grows_is_packed_and_the_plain_one_goes(tmp_path: Path) -> None:
    small = files.write(tmp_path, "t", ("a",), [{"a": "1"}])
    assert small.name == "t.csv"
    large = files.write(tmp_path, "t", ("a",), [{"a": "x" * files.PLAIN_LIMIT}])
    assert large.name == "t.csv.gz"
    assert not small.exists()
    assert files.unpacked(large).startswith(b"a\nxx")


def test_marks_that_cannot_be_seen_are_dropped(tmp_path: Path) -> None:
    path = files.write(tmp_path, "t", ("a",), [{"a": " BT\u200dC "}])
    assert path.read_text() == "a\nBTC\n"


@pytest.mark.parametrize(
    ("note", "kind", "quantity", "cost"),
    [
        ("bought 22048 BTC in the period", "purchase", "22048", None),
        ("bought 4,020 for 427.1m USD", "purchase", "4020", "427100000"),
        ("bought 220 for about 27m USD", "purchase", "220", "27000000"),
        ("sold 32 for 2.5m USD (first sale since 2022)", "sale", "32", "2500000"),
        ("bought 29,646; press release, no 8-K that day", "purchase", "29646", None),
    ],
)
def test_a_trade_is_read_out_of_a_note(
    note: str, kind: str, quantity: str, cost: str | None
) -> None:
    trade = trade_in(note)
    assert trade is not None
    assert (trade.kind, trade.quantity) == (kind, Decimal(quantity))
    assert trade.cost_usd == (None if cost is None else Decimal(cost))


@pytest.mark.parametrize(
    "note",
    [
        "no trade",
        "no purchase in the week; average cost quoted 75,694 USD",
        "purchase of about 334 implied by the balance",
        "first purchase",
        "REDUCTION",
    ],
)
def test_a_note_without_a_trade_gives_none(note: str) -> None:
    assert trade_in(note) is None


def test_edgars_clock_is_new_yorks() -> None:
    assert utc_of("2025-03-03T08:00:09.000Z") == "2025-03-03T13:00:09Z"
    assert utc_of("2025-07-07T07:59:41.000Z") == "2025-07-07T11:59:41Z"


@pytest.mark.parametrize(
    ("confidence", "source", "tier"),
    [
        ("proof_of_reserves", "https://github.com/DefiLlama/DefiLlama-Adapters/x", Tier.ATTESTED),
        ("published_by_entity", "https://bitcoin.gob.sv/", Tier.VENDOR),
        ("press", "https://news.example/", Tier.HEURISTIC),
        ("label_dataset", "https://github.com/bitcoin-data/mining-pools/x", Tier.VENDOR),
        ("label_dataset", "https://bitinfocharts.com/x", Tier.HEURISTIC),
        ("label_dataset", "https://github.com/unicef", Tier.HEURISTIC),
    ],
)
def test_wallet_tiers(confidence: str, source: str, tier: Tier) -> None:
    assert wallet_tier(confidence, source) is tier


def test_label_tiers() -> None:
    assert label_tier("https://ethereum.org/en/staking/deposit-contract/") is Tier.ATTESTED
    assert label_tier("https://github.com/brianleect/etherscan-labels/blob/x") is Tier.VENDOR
    assert label_tier("https://bitquery.io/blog/x") is Tier.HEURISTIC


@pytest.mark.parametrize(
    ("name", "category", "venue"),
    [
        ("Binance.com", "exchange", "binance"),
        ("Huobi: Deposit", "exchange_deposit", "htx"),
        ("osl-hk (reserve wallet)", "exchange", "osl"),
        ("Coinbase deposit (Germany BKA 2024)", "exchange_deposit", "coinbase"),
        ("Jump Trading: Binance Deposit", "exchange_deposit", "binance"),
        ("WBTC custody (BitGo)", "bridge", "bitgo"),
        ("Bitfinex: WBTC Merchant Deposit Address", "custodian", ""),
        ("Binance: BNB Token", "dex", ""),
        ("okcoin", "exchange", ""),
    ],
)
def test_the_venue_that_a_label_names(name: str, category: str, venue: str) -> None:
    assert venue_of(name, category) == venue
