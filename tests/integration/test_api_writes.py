"""Writes through the API: what lands, what is refused, what it does to the rest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.api_service import NOW, Api, running_api, services_for
from tracker.events import outbox, publish

HOLDER = {"slug": "example-corp", "name": "Example Corp", "kind": "dat", "ticker": "EXPL"}
GENESIS = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
PACK = (
    "# pack: venues\n# title: Venues\n# creator: a test\n# licence: CC0-1.0\n"
    "# redistributable: true\n"
    "chain,address,name,category,tier,source\n"
    f"bitcoin,{GENESIS},A venue,exchange,vendor,https://example.org\n"
    "bitcoin,not-an-address,Another,exchange,vendor,https://example.org\n"
)


@pytest.fixture
def api(postgres_url: str, tmp_path) -> Iterator[Api]:
    with running_api(services_for(postgres_url, tmp_path)) as api:
        assert api.write("POST", "/v1/entities", json=HOLDER).status_code == 201
        yield api


def add_wallet(api: Api, **more: str):
    body = {"chain": "bitcoin", "address": GENESIS, **more}
    return api.write("POST", "/v1/entities/example-corp/wallets", json=body)


def test_an_added_entity_is_listed_with_what_is_known_of_it(api):
    (item,) = api.get("/v1/entities")["items"]
    assert (item["slug"], item["role"], item["observability"]) == ("example-corp", "holder", "none")
    assert item["holdings"] == []
    assert (item["value_usd"], item["mnav"], item["last_alert"]) == (None, None, None)
    again = api.write("POST", "/v1/entities", json=HOLDER)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


def test_an_entity_is_switched_off_and_on(api):
    off = api.write("PATCH", "/v1/entities/example-corp", json={"enabled": False})
    assert off.json()["enabled"] is False
    assert api.get("/v1/entities")["items"] == []
    api.write("PATCH", "/v1/entities/example-corp", json={"enabled": True})
    assert len(api.get("/v1/entities")["items"]) == 1


def test_a_wallet_makes_a_holder_partly_seen_without_a_balance_of_0(api):
    made = add_wallet(api, tier="attested", source="https://example.org/reserves")
    assert made.status_code == 201, made.text
    assert made.json()["entity"] == "example-corp"
    (asset,) = api.get("/v1/entities/example-corp/holdings")["assets"]
    assert asset["onchain"]["quantity"] is None
    assert "no block of bitcoin" in asset["onchain"]["reason"]
    assert api.get("/v1/entities/example-corp")["observability"] == "attested"
    assert add_wallet(api).status_code in (200, 201, 409)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (GENESIS[:-1] + "b", "checksum"),
        ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "testnet"),
        ("hello", ""),
    ],
)
def test_a_bad_address_is_refused_by_name(api, address, words):
    reply = add_wallet(api, address=address)
    assert reply.status_code == 422
    problem = reply.json()
    assert problem["code"] == "invalid_address"
    assert problem["value"] == address
    assert words in (problem["detail"] + str(problem["mend"])).lower()
    assert api.get("/v1/entities/example-corp/wallets")["items"] == []


def test_a_removed_wallet_is_gone_from_the_list_and_kept_in_the_record(api):
    add_wallet(api)
    gone = api.write("DELETE", f"/v1/wallets/bitcoin/{GENESIS}")
    assert gone.json()["alerts_changed"] == 0
    path = "/v1/entities/example-corp/wallets"
    assert api.get(path)["items"] == []
    assert api.get(path, params={"closed": "true"})["items"][0]["closed_at"]
    assert api.write("DELETE", f"/v1/wallets/bitcoin/{GENESIS}").status_code == 404


def test_an_import_takes_the_good_rows_and_tells_the_bad_ones(api):
    rows = "slug,name,kind\ngood-one,Good,etf\nBAD SLUG,Bad,dat\nother,Other,whale\n"
    reply = api.write("POST", "/v1/entities/import?format=csv", data=rows)
    report = reply.json()
    assert report["accepted"] == 1
    assert [(row["row"], row["field"]) for row in report["rejected"]] == [(3, "slug"), (4, "kind")]
    assert all(row["mend"] for row in report["rejected"])
    dry = "slug,name,kind\nnever,Never,dat\n"
    assert api.write("POST", "/v1/entities/import?dry_run=true", data=dry).json()["dry_run"]
    assert {item["slug"] for item in api.get("/v1/entities")["items"]} == {
        "example-corp", "good-one",
    }  # fmt: skip


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"one,two\n1,2\n", b'{"items": 5}'])
def test_a_file_that_cannot_be_read_changes_nothing(api, content):
    for form in ("csv", "json"):
        reply = api.write("POST", f"/v1/wallets/import?format={form}", data=content)
        assert reply.status_code == 422, reply.text
        assert reply.json()["mend"]


def test_wallets_are_imported_as_json(api):
    row = {"entity": "example-corp", "chain": "bitcoin", "address": GENESIS}
    reply = api.write("POST", "/v1/wallets/import?format=json", json=[row, {**row, "entity": "x"}])
    assert (reply.json()["accepted"], len(reply.json()["rejected"])) == (1, 1)


def test_a_label_pack_comes_goes_and_can_be_handed_on(api):
    report = api.write("POST", "/v1/labels/import?format=csv", data=PACK).json()
    assert (report["pack"], report["accepted"], len(report["rejected"])) == ("venues", 1, 1)
    (pack,) = api.get("/v1/labels")["items"]
    assert (pack["name"], pack["labels"], pack["redistributable"]) == ("venues", 1, True)
    exported = api.request("GET", "/v1/labels/venues/export")
    assert exported.headers["content-type"].startswith("text/csv")
    assert GENESIS in exported.text
    removed = api.write("DELETE", "/v1/labels/venues").json()
    assert (removed["labels"], removed["wallets"], removed["alerts_changed"]) == (1, 0, 0)
    assert api.get("/v1/labels")["items"] == []
    assert api.write("DELETE", "/v1/labels/venues").status_code == 404


def test_an_endpoint_lives_with_its_secret_shown_once(api):
    wish = {"url": "http://127.0.0.1:9000/hook", "allow_hosts": ["127.0.0.1:9000"],
            "types": ["sell_off.*"], "entities": ["example-corp"]}  # fmt: skip
    made = api.write("POST", "/v1/webhooks", json=wish)
    assert made.status_code == 201, made.text
    endpoint, secret = made.json()["id"], made.json()["secret"]
    assert secret.startswith("whsec_")
    listed = api.get("/v1/webhooks")
    assert listed["items"][0]["id"] == endpoint
    assert "secret" not in str(listed)
    rotated = api.write("POST", f"/v1/webhooks/{endpoint}/rotate").json()
    assert rotated["secret"] not in (secret, None)
    queued = api.write("POST", f"/v1/webhooks/{endpoint}/test", json={"type": "sell_off.retracted"})
    assert (queued.status_code, queued.json()["queued"]) == (202, 1)
    (delivery,) = api.get(f"/v1/webhooks/{endpoint}/deliveries")["items"]
    assert (delivery["type"], delivery["origin"]) == ("sell_off.retracted", "test")
    assert (delivery["state"], delivery["sequence"], delivery["log"]) == ("pending", 1, [])
    assert api.write("DELETE", f"/v1/webhooks/{endpoint}").status_code == 204
    assert api.get("/v1/webhooks")["items"] == []
    assert api.request("GET", f"/v1/webhooks/{endpoint}/deliveries").status_code == 404


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"url": "http://127.0.0.1:9000/hook"}, "url"),
        ({"url": "https://10.0.0.1/hook"}, "url"),
        ({"url": "ftp://example.org"}, "url"),
        ({"url": "https://name:pass@example.org/"}, "url"),
        ({"url": "https://example.org/", "types": ["sell_of.*"]}, "types"),
        ({"url": "https://example.org/", "entities": ["nobody"]}, "entities"),
        ({"url": "https://example.org/", "min_severity": "loud"}, "min_severity"),
    ],
)
def test_an_endpoint_that_could_not_be_served_is_refused(api, wish, field):
    reply = api.write("POST", "/v1/webhooks", json=wish)
    assert reply.status_code == 422, reply.text
    assert reply.json()["field"].startswith(field)
    assert "pass@" not in reply.text


def publish_events(api: Api, count: int) -> None:
    with api.services.database.transaction() as session:
        for number in range(count):
            outbox.add(
                session,
                id=f"evt_{number}",
                type="sell_off.opened",
                timestamp=NOW,
                data={"event_id": f"evt_{number}", "severity": "warning"},
                alert_id=None,
                entity_slug="example-corp",
                asset="BTC",
                severity="warning",
                tier=None,
                created_at=NOW,
            )
    with api.services.database.transaction() as session:
        assert publish.publish_pending(session, now=NOW) == count


def test_the_feed_is_read_by_cursor(api):
    publish_events(api, 5)
    first = api.get("/v1/events", params={"limit": 3})
    assert [item["cursor"] for item in first["items"]] == [1, 2, 3]
    rest = api.get("/v1/events", params={"after": first["next"], "limit": 3})
    assert [item["id"] for item in rest["items"]] == ["evt_3", "evt_4"]
    assert rest["next"] is None
    assert rest["items"][0]["type"] == "sell_off.opened"


def test_what_was_published_is_replayed_by_id_and_by_range(api):
    made = api.write("POST", "/v1/webhooks", json={"url": "https://example.org/hook"}).json()
    publish_events(api, 2)
    path = f"/v1/webhooks/{made['id']}"
    one = api.write("POST", f"{path}/replay", json={"event_id": "evt_1"}).json()
    assert one == {"queued": 1, "event_ids": ["evt_1"]}
    since = (NOW - timedelta(hours=1)).isoformat()
    until = (NOW + timedelta(hours=1)).isoformat()
    both = api.write("POST", f"{path}/replay", json={"since": since, "until": until}).json()
    assert both["queued"] == 2
    for body in ({}, {"event_id": "evt_1", "since": since}, {"since": "2026-01-01T00:00:00"}):
        assert api.write("POST", f"{path}/replay", json=body).status_code == 422, body
    page = api.get(f"{path}/deliveries", params={"limit": 1})
    assert page["next"]
    older = api.get(f"{path}/deliveries", params={"limit": 1, "cursor": page["next"]})
    assert older["items"][0]["id"] < page["items"][0]["id"]


def test_the_stream_starts_behind_the_last_event_and_goes_on(api):
    publish_events(api, 3)
    with api.http.get(
        f"{api.url}/v1/events/stream", headers={"Last-Event-ID": "1"}, stream=True, timeout=20
    ) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = (line for line in reply.iter_lines(chunk_size=None) if line.startswith(b"id:"))
        assert [next(lines), next(lines)] == [b"id: 2", b"id: 3"]


@pytest.mark.parametrize("given", ["-1", "x", "1.5", "99999999999999999999999"])
def test_a_last_event_id_that_is_no_cursor_is_refused(api, given):
    reply = api.request("GET", "/v1/events/stream", headers={"Last-Event-ID": given})
    assert reply.status_code == 422
