"""An entity's page in a real browser: buckets, what is not read yet, both chains, what differs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from decimal import Decimal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.api_service import Api, running_api, services_for
from tests.holdings_world import HoldingsWorld, block_hash, later
from tracker.db.chain import Transfer
from tracker.db.facts import Price
from tracker.db.reconciliation import Discrepancy, Probe

pytestmark = pytest.mark.browser

ETHER = 10**18
NOW = later(days=3)
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]


def furnish(world: HoldingsWorld) -> None:
    """A holder with coins on both chains, one wallet not opened yet, one that no source lists."""
    for height in range(1, 4):
        world.block("bitcoin", height, later(days=height - 1))
        world.block("ethereum", height, later(days=height - 1, hours=1))
    coins = world.wallet("bitcoin", opening=1)
    world.wallet("bitcoin", state="counted_from", opening=1)
    ether = world.wallet("ethereum", opening=1)
    world.post("bitcoin", 1, [world.move(coins, 5 * 10**8, cause="attribution", ref="opening")])
    world.post("bitcoin", 2, [world.move(coins, -(10**8))])
    moves = [
        ("ETH", "liquid", 7 * ETHER), ("ETH", "staked", 32 * ETHER),
        ("WETH", "liquid", 2 * ETHER), ("variableDebtEthWETH", "lent", ETHER),
    ]  # fmt: skip
    world.post(
        "ethereum", 2,
        [
            world.move(ether, amount, asset=asset, bucket=bucket, ref=f"log:{number}")
            for number, (asset, bucket, amount) in enumerate(moves)
        ],
    )  # fmt: skip
    with world.database.transaction() as session:
        for coin, value in (("BTC", 60_000), ("ETH", 3_000)):
            session.add(
                Price(
                    kind="close", subject=coin, at=later(days=2), value=Decimal(value),
                    currency="USD", state="closed", source="a venue", recorded_at=NOW,
                )
            )  # fmt: skip
        for number, (chain, asset, net) in enumerate(
            [("bitcoin", "BTC", -(10**8)), ("ethereum", "ETH", 7 * ETHER)]
        ):
            session.add(
                Transfer(
                    id=f"tr_{number}", chain=chain, tx=bytes([number + 1]) * 32,
                    block_hash=block_hash(chain, 2), height=2, time=world.times[chain, 2],
                    entity_id=world.entity_id, asset=asset, gross_in=max(net, 0),
                    gross_out=max(-net, 0), fee=0, net=net, intent="unknown_out",
                    probability=Decimal("0.5"),
                )
            )  # fmt: skip
        session.add(
            Discrepancy(
                chain="ethereum", height=2, block_hash=block_hash("ethereum", 2), key=b"key",
                asset="ETH", entity_id=world.entity_id, wallet_id=ether, observed=7, expected=6,
                amount=1, state="open", says="no record of the block explains it",
                source="a node", opened_at=NOW,
            )
        )  # fmt: skip
        session.add(
            Probe(
                wallet_id=ether, asset="ETH", height=2, hash=block_hash("ethereum", 2),
                observed=7, agreed=False, source="a node", probed_at=NOW,
            )
        )  # fmt: skip


@pytest.fixture
def api(postgres_url: str, tmp_path) -> Iterator[tuple[Api, HoldingsWorld]]:
    services = services_for(postgres_url, tmp_path, clock=lambda: NOW)
    world = HoldingsWorld(services.database)
    furnish(world)
    with running_api(services) as found:
        yield found, world


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        reason = "no chromium is installed (apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=["desktop", "phone"])
def page(request, browser: Browser) -> Iterator[Page]:
    width, height = {"desktop": (1280, 900), "phone": (390, 800)}[request.param]
    context = browser.new_context(
        viewport={"width": width, "height": height}, java_script_enabled=False
    )
    yield context.new_page()
    context.close()


def test_both_chains_buckets_debts_and_what_differs_stand_on_the_page(page, api):
    found, world = api
    page.goto(f"{found.url}/entities/acme")
    text = page.locator("main").inner_text()
    assert "staked 32" in text
    assert "liquid 7" in text
    assert "39 ETH" in text
    assert "Owed on chain" in text
    assert "-1 variableDebtEthWETH" in text
    assert "-$3,000" in text
    assert "1 of 2 wallets is counted since block 2 only" in text
    for chain in ("bitcoin", "ethereum"):
        assert f"{chain} at block 3" in text
    assert "1 open discrepancy" in text
    assert "differed at 2" in text
    links = [link.get_attribute("href") for link in page.locator("td a").all()]
    assert any(link.startswith("https://mempool.space/tx/") for link in links)
    assert any(link.startswith("https://etherscan.io/tx/0x") for link in links)
    main, html = page.locator("main").bounding_box(), page.locator("html").bounding_box()
    assert main["width"] <= html["width"]

    world.wallet("ethereum", state="bootstrapping")
    page.goto(f"{found.url}/entities/acme")
    text = page.locator("main").inner_text()
    assert "bootstrapping" in text
    assert "1 of 2 wallets is still bootstrapping" in text
    assert "39 ETH in the 1 of 2 wallets that are known" in text
    onchain = page.locator("section", has_text="Holdings").first.locator("dd.onchain").all()
    assert not any(cell.inner_text().startswith("39 ETH") for cell in onchain)
    page.goto(found.url)
    assert "1 open discrepancy" in page.locator("summary").first.inner_text()
