"""The reads of the API over the real bundled registry and facts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests import servers as running
from tests.api_service import Api, running_api, services_for
from tracker.api.paging import encode
from tracker.embedded.servers import ServerUrls

DAYS_AROUND_THE_SPLIT = {"from": "2024-08-01", "to": "2024-08-14"}


@pytest.fixture(scope="module")
def api(servers: ServerUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running.fresh_database(servers, f"reads_{running.worker_number()}") as url:
        services = services_for(url, tmp_path_factory.mktemp("data"))
        services.sync()
        with running_api(services) as api:
            yield api


def test_the_list_is_ordered_by_what_is_known_then_by_value(api):
    items = api.get("/v1/entities", params={"limit": 500})["items"]
    keys = [(-item["completeness"]["score"], -Decimal(item["value_usd"] or 0)) for item in items]
    assert len(items) > 200
    assert keys == sorted(keys)


def test_pages_join_to_the_whole_list(api):
    whole = api.get("/v1/entities", params={"kind": "dat", "limit": 500})["items"]
    joined, cursor = [], None
    while True:
        page = api.get("/v1/entities", params={"kind": "dat", "limit": 60, "cursor": cursor})
        joined += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    assert [item["slug"] for item in joined] == [item["slug"] for item in whole]


def test_the_list_is_filtered(api):
    venues = api.get("/v1/entities", params={"role": "venue"})["items"]
    assert {item["role"] for item in venues} == {"venue"}
    found = api.get("/v1/entities", params={"q": "mstr"})["items"]
    assert [item["slug"] for item in found] == ["strategy"]
    off = api.get("/v1/entities", params={"enabled": "false"})["items"]
    assert off
    assert not any(item["enabled"] for item in off)


def test_a_holder_known_by_filings_only_never_shows_0_on_chain(api):
    items = api.get("/v1/entities", params={"limit": 500})["items"]
    blind = [item for item in items if item["observability"] == "disclosure_only"]
    assert len(blind) > 20
    for item in blind:
        for holding in item["holdings"]:
            assert holding["onchain"]["quantity"] is None
            assert holding["onchain"]["amount"] is None
            assert holding["onchain"]["reason"]
    assert "strategy" in {item["slug"] for item in blind}


def test_every_unknown_has_its_reason(api):
    for item in api.get("/v1/entities", params={"limit": 500})["items"]:
        assert item["value_usd"] is not None or item["value_reason"]
        assert item["mnav"] is not None or item["mnav_reason"]
        for holding in item["holdings"]:
            assert holding["coverage"] is not None or holding["coverage_reason"]
            assert holding["nowcast"]["quantity"] is not None or holding["nowcast"]["reason"]
            for ground in ("onchain", "disclosed"):
                assert holding[ground]["quantity"] is not None or holding[ground]["reason"]


def test_holdings_now_and_then(api):
    now = api.get("/v1/entities/strategy/holdings")
    assert now["as_of"] == "2026-11-22T12:00:00Z"
    (bitcoin,) = now["assets"]
    assert bitcoin["disclosed"]["quantity"] == "848000"
    assert bitcoin["disclosed"]["source"].startswith("https://")
    assert {chain["chain"] for chain in now["chains"]} == {"bitcoin", "ethereum"}
    then = api.get("/v1/entities/strategy/holdings", params={"at": "2026-06-30"})
    (bitcoin,) = then["assets"]
    assert bitcoin["disclosed"]["as_of"] <= "2026-06-30"
    assert then["as_of"] == "2026-06-30T23:59:59Z"
    before = api.get("/v1/entities/strategy/holdings", params={"at": "2010-01-01"})
    assert before["assets"] == []
    assert before["reason"]


def test_mnav_has_its_inputs_with_as_of_and_source(api):
    found = api.get("/v1/entities/strategy/mnav", params={"at": "2026-02-05"})
    values = {each["id"]: each for each in found["definitions"]}
    assert Decimal(values["ev"]["value"]) > Decimal(values["basic"]["value"]) > 0
    for name in ("basic", "ev"):
        inputs = {each["name"] for each in values[name]["inputs"]}
        assert {"price", "basic_shares", "holdings.BTC", "coin_prices.BTC"} <= inputs
        assert all(each["as_of"] and each["source"] for each in values[name]["inputs"])


def test_basic_mnav_has_no_jump_across_the_split_of_august_2024(api):
    rows = api.get("/v1/entities/strategy/mnav/history", params=DAYS_AROUND_THE_SPLIT)["items"]
    basic = [
        Decimal(next(d["value"] for d in row["definitions"] if d["id"] == "basic")) for row in rows
    ]
    assert len(basic) == 10  # trading days
    for before, after in itertools.pairwise(basic):
        assert Decimal("0.75") < after / before < Decimal("1.33")


def test_history_pages_join(api):
    path = "/v1/entities/strategy/mnav/history"
    whole = api.get(path, params=DAYS_AROUND_THE_SPLIT)
    first = api.get(path, params={**DAYS_AROUND_THE_SPLIT, "limit": 6})
    rest = api.get(path, params={**DAYS_AROUND_THE_SPLIT, "limit": 6, "cursor": first["next"]})
    assert whole["next"] is None
    assert rest["next"] is None
    assert [row["as_of"] for row in first["items"] + rest["items"]] == [
        row["as_of"] for row in whole["items"]
    ]


def test_disclosures_and_capital_carry_their_sources(api):
    disclosures = api.get("/v1/entities/strategy/disclosures", params={"limit": 500})["items"]
    assert sum(item["kind"] == "total" for item in disclosures) == 145
    assert all(item["source"] for item in disclosures)
    assert [d["as_of"] for d in disclosures] == sorted(
        (d["as_of"] for d in disclosures), reverse=True
    )
    capital = api.get("/v1/entities/strategy/capital")["items"]
    assert {"basic_shares"} <= {item["field"] for item in capital}
    assert all(item["source"] and item["as_of"] for item in capital)


def test_nothing_was_believed_before_it_was_recorded(api):
    path = "/v1/entities/strategy/disclosures"
    assert api.get(path, params={"known_at": "2026-11-21"})["items"] == []


def test_wallets_say_how_they_are_known(api):
    items = api.get("/v1/entities/mara/wallets")["items"]
    known = {item["address"]: item for item in items}
    assert "15MdAHnkxt9TMC2Rj595hsg8Hnv693pPBB" in known
    assert all(item["tier"] and item["entity"] == "mara" for item in items)
    everything = api.get("/v1/wallets", params={"limit": 500})["items"]
    assert len(everything) > len(items)


def test_strategys_sales_are_two_alerts_one_with_a_revision_a_clip(api):
    items = api.get("/v1/alerts", params={"entity": "strategy", "limit": 500})["items"]
    recent = [item for item in items if item["opened_at"] >= "2026"]
    assert [item["quantity"] for item in recent] == ["6916", "32"]
    growing = api.get(f"/v1/alerts/{recent[0]['id']}")
    assert growing["state"] == "disclosed"
    assert growing["historical"] is True
    assert growing["deliveries"] == []
    assert len(growing["revisions"]) == 4
    assert all(ground["document"].startswith("https://") for ground in growing["ground"])


def test_alerts_are_filtered_and_paged(api):
    whole = api.get("/v1/alerts", params={"limit": 500})["items"]
    critical = api.get("/v1/alerts", params={"min_severity": "critical"})["items"]
    assert {item["severity"] for item in critical} == {"critical"}
    joined, cursor = [], None
    while True:
        page = api.get("/v1/alerts", params={"limit": 5, "cursor": cursor})
        joined += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    assert [item["id"] for item in joined] == [item["id"] for item in whole]
    assert api.get("/v1/alerts", params={"rule": "sell_off", "limit": 500})["items"] == whole


def test_a_rule_that_nobody_knows_is_refused_with_the_known_ones(api):
    reply = api.request("GET", "/v1/alerts?rule=typo")
    assert reply.status_code == 422
    assert "sell_off" in reply.json()["mend"]


def test_what_is_history_is_not_an_event(api):
    assert api.get("/v1/events") == {"items": [], "next": None}


def test_the_bundled_pack_is_listed_with_its_terms(api):
    packs = {item["name"]: item for item in api.get("/v1/labels")["items"]}
    assert packs["bundled"]["labels"] > 10_000


def test_an_unknown_entity_is_answered_with_near_ones(api):
    reply = api.request("GET", "/v1/entities/stratgy/holdings")
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert problem["code"] == "not_found"
    assert problem["value"] == "stratgy"
    assert "strategy" in problem["mend"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/entities?limit=501", "limit"),
        ("/v1/entities?limit=0", "limit"),
        ("/v1/entities?kind=whale", "kind"),
        ("/v1/entities?cursor=xyz", "cursor"),
        ("/v1/entities?knid=dat", "knid"),
        ("/v1/entities/strategy/holdings?at=tomorrow", "at"),
        ("/v1/entities/strategy/holdings?at=2999-01-01", "at"),
        ("/v1/entities/strategy/mnav?basis=guessed", "basis"),
        ("/v1/entities/strategy/mnav/history?from=x", "from"),
        ("/v1/entities/strategy/mnav/history?from=2025-01-02&to=2025-01-01", "to"),
        ("/v1/entities/strategy/holdings?at=900000", "at"),
        ("/v1/entities/strategy/holdings?at=bitcoin:1", "at"),
        ("/v1/entities/strategy/holdings?at=bitcoin:1&chain=ethereum", "chain"),
        ("/v1/entities/strategy/holdings?at=1&chain=dogecoin", "chain"),
        ("/v1/entities/strategy/holdings?at=soon&chain=bitcoin", "at"),
        ("/v1/entities/strategy/holdings?chain=bitcoin", "chain"),
        ("/v1/entities/strategy/holdings/history", "asset"),
        ("/v1/entities/strategy/holdings/history?asset=DOGE", "asset"),
        ("/v1/entities/strategy/holdings/history?asset=BTC&step=hour", "step"),
        ("/v1/entities/strategy/holdings/history?asset=BTC&from=2010-01-01", "from"),
        ("/v1/entities/strategy/changes?asset=DOGE", "asset"),
        ("/v1/entities/strategy/changes?from=2026-02-01&to=2026-01-01", "to"),
        ("/v1/entities/strategy/changes?cursor=xyz", "cursor"),
        ("/v1/discrepancies?state=odd", "state"),
        ("/v1/discrepancies?cursor=xyz", "cursor"),
        ("/v1/alerts?rule=typo", "rule"),
        ("/v1/alerts?min_severity=loud", "min_severity"),
        ("/v1/alerts?cursor=xyz", "cursor"),
        ("/v1/events?after=-1", "after"),
        ("/v1/sources?page=2", "page"),
        ("/healthz?verbose=1", "verbose"),
    ],
)
def test_bad_parameters_are_named_with_the_mend(api, path, field):
    reply = api.request("GET", path)
    assert reply.status_code == 422, reply.text
    problem = reply.json()
    assert (problem["field"], problem["status"]) == (field, 422)
    assert problem["mend"]
    assert reply.headers["content-type"] == "application/problem+json"


def test_a_second_sync_changes_nothing(api):
    before = api.get("/v1/entities/strategy/disclosures", params={"limit": 500})
    alerts = api.get("/v1/alerts", params={"limit": 500})
    done = api.write("POST", "/v1/registry/sync")
    assert done.json() == {"synced_at": "2026-11-22T12:00:00Z"}
    assert api.get("/v1/entities/strategy/disclosures", params={"limit": 500}) == before
    assert api.get("/v1/alerts", params={"limit": 500}) == alerts


def test_the_list_narrows_to_what_is_seen_in_one_way(api):
    items = api.get("/v1/entities", params={"observability": "partial", "limit": 500})["items"]
    assert items
    assert {item["observability"] for item in items} == {"partial"}
    refused = api.request("GET", "/v1/entities?observability=seen").json()
    assert (refused["detail"], "attested" in refused["mend"]) == ("not a value that is known", True)


@pytest.mark.parametrize("path", ["/healthz", "/v1/entities", "/"])
def test_head_answers_as_get_without_the_body(api, path):
    reply = api.request("HEAD", path)
    assert (reply.status_code, reply.content) == (200, b"")
    assert int(reply.headers["content-length"]) > 0
    assert api.request("HEAD", "/v1/entities/nobody").status_code == 404


def test_a_history_is_bounded_by_the_first_block_and_today(api):
    path = "/v1/entities/strategy/mnav/history"
    everything = api.get(path, params={"from": "0001-01-01", "to": "9999-12-31", "limit": 3})
    assert len(everything["items"]) == 3
    last = encode("9999-12-31")
    assert api.get(path, params={"cursor": last}) == {"items": [], "next": None}
