"""The page in a real browser: it loads, asks nobody else, and every link of it works."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests import servers as running
from tests.api_service import Api, running_api, services_for
from tracker.embedded.servers import ServerUrls

pytestmark = pytest.mark.browser

_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def api(servers: ServerUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running.fresh_database(servers, f"page_{running.worker_number()}") as url:
        services = services_for(url, tmp_path_factory.mktemp("data"))
        services.sync()
        with running_api(services) as api:
            yield api


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


class Watched:
    """A page with what it asked for and what it complained of."""

    def __init__(self, page: Page, api: Api) -> None:
        self.page = page
        self.url = api.url
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path: str) -> int:
        reply = self.page.goto(self.url + path)
        assert reply is not None
        return reply.status

    def is_clean(self) -> None:
        foreign = [url for url in self.asked if not url.startswith(self.url + "/")]
        assert (foreign, self.complaints) == ([], [])


@pytest.fixture(params=["desktop", "phone"])
def watched(request, browser: Browser, api: Api) -> Iterator[Watched]:
    size = {"desktop": (1280, 900), "phone": (390, 800)}[request.param]
    # Without scripts: the page must not need them.
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, java_script_enabled=False
    )
    yield Watched(context.new_page(), api)
    context.close()


@pytest.mark.parametrize("path", ["/", "/alerts", "/entities/strategy", "/entities/mara"])
def test_a_page_loads_whole_and_asks_nobody_else(watched, path):
    assert watched.open(path) == 200
    assert watched.page.locator("main").is_visible()
    assert f"{watched.url}/static/style.css" in watched.asked
    box = watched.page.locator("html").bounding_box()
    widest = watched.page.locator("main").bounding_box()
    assert box is not None
    assert widest is not None
    assert widest["width"] <= box["width"]  # nothing hangs over the edge
    watched.is_clean()


def test_a_holder_known_by_filings_only_says_so_and_shows_no_0(watched):
    watched.open("/?q=strategy")
    row = watched.page.locator("tbody tr", has_text="Strategy Inc")
    assert row.locator(".badge").first.inner_text() == "filings only"
    assert "848,000 BTC" in row.inner_text()
    assert "2026-10-04" in row.inner_text()
    assert row.locator('td[data-label="On chain"]').inner_text().strip().endswith("not seen")
    watched.page.get_by_role("link", name="Strategy Inc", exact=True).click()
    assert "no wallet is known" in watched.page.locator("main").inner_text()
    watched.is_clean()


def test_search_and_filters_narrow_the_table(watched):
    watched.open("/")
    watched.page.get_by_label("Search").fill("metaplanet")
    watched.page.get_by_role("button", name="Show").click()
    assert "q=metaplanet" in watched.page.url
    rows = watched.page.locator("tbody tr")
    assert rows.count() == 1
    assert "3350" in rows.first.inner_text()
    watched.open("/?q=no-such-name")
    assert watched.page.get_by_text("Nothing is called so").is_visible()
    watched.is_clean()


def test_an_alerts_permalink_shows_ground_and_every_revision(watched):
    alert = next(item for item in watched_alerts(watched) if item["quantity"] == "6916")
    watched.open("/")
    watched.page.locator(f'a[href="/alerts/{alert["id"]}"]').first.click()
    assert watched.page.url == f"{watched.url}/alerts/{alert['id']}"
    assert watched.page.locator("h1").inner_text() == "Strategy Inc: sell-off of 6,916 BTC"
    assert watched.page.locator(".timeline li").count() == 4
    links = watched.page.locator(".ground a")
    assert links.count() == 4
    assert links.first.get_attribute("href").startswith("https://www.sec.gov/")
    watched.is_clean()


def watched_alerts(watched: Watched) -> list[dict[str, str]]:
    reply = watched.page.request.get(f"{watched.url}/v1/alerts?entity=strategy")
    items: list[dict[str, str]] = reply.json()["items"]
    return items


def test_every_mnav_definition_stands_with_its_inputs(watched):
    watched.open("/entities/strategy")
    text = watched.page.locator("main").inner_text()
    for word in ("basic", "ev", "net", "basic shares", "carried", "P x S / N"):
        assert word in text
    assert watched.page.locator("text=0.9729").count() == 1


def test_what_does_not_exist_is_a_page_too(watched):
    assert watched.open("/entities/stratgy") == 404
    assert watched.page.get_by_text("did you mean strategy").is_visible()
    assert watched.open("/alerts/al_none") == 404
    assert watched.open("/?kind=whale") == 422


def test_more_entities_are_one_link_away(watched):
    watched.open("/?role=all")
    first = watched.page.locator("tbody th a").first.inner_text()
    watched.page.get_by_role("link", name="More entities").click()
    assert watched.page.locator("tbody tr").count() > 0
    assert watched.page.locator("tbody th a").first.inner_text() != first
    watched.is_clean()


def test_the_page_explains_itself_and_tells_of_its_sources_without_a_script(watched):
    watched.open("/")
    assert watched.page.locator("h1").inner_text() == "Who holds the coins, and who starts to sell"
    assert watched.page.get_by_text("No source has reported yet").is_visible()
    meaning = watched.page.get_by_text("None of these means 0.")
    assert not meaning.is_visible()
    watched.page.get_by_text("How to read this page").click()
    assert meaning.is_visible()
    watched.is_clean()


def test_a_disclosed_number_leads_to_its_source(watched):
    watched.open("/?q=strategy")
    row = watched.page.locator("tbody tr", has_text="Strategy Inc")
    source = row.locator('td[data-label="Disclosed"] a').first
    assert source.inner_text() == "2026-10-04"
    assert source.get_attribute("href").startswith("https://www.sec.gov/")
    assert row.locator('td[data-label="mNAV"] a').get_attribute("href") == "/entities/strategy#mnav"
