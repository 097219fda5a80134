"""Disclosures that an operator adds: stored with their source, judged at once, refused by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api_service import NOW, Api, running_api, services_for
from tracker.doorbell import DETECT

PATH = "/v1/entities/example-corp/disclosures"
SOURCE = "https://example.org/filing"
TOTAL = {
    "as_of": "2026-11-01", "asset": "BTC", "kind": "total", "quantity": "1000", "source": SOURCE,
}  # fmt: skip


class Bell:
    """A doorbell that remembers who was rung."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def ring(self, queue: str) -> None:
        self.rung.append(queue)


@pytest.fixture
def api(postgres_url: str, tmp_path) -> Iterator[Api]:
    services = services_for(postgres_url, tmp_path)
    services.doorbell = Bell()
    with running_api(services) as api:
        for slug, kind in (("example-corp", "dat"), ("bourse", "exchange")):
            body = {"slug": slug, "name": slug, "kind": kind}
            assert api.write("POST", "/v1/entities", json=body).status_code == 201
        yield api


def add(api: Api, **more: str):
    return api.write("POST", PATH, json={**TOTAL, **more})


def test_what_was_added_is_shown_with_its_source_and_rings_the_rules(api):
    reply = add(api, cost_usd="5000.50", quote="we hold 1,000")
    assert reply.status_code == 201, reply.text
    (item,) = api.get(PATH)["items"]
    assert item == reply.json()
    assert (item["quantity"], item["amount"], item["owner"]) == ("1000", "100000000000", "operator")
    assert (item["source"], item["quote"]) == (SOURCE, "we hold 1,000")
    assert item["cost"] == {"amount": "5000.5", "currency": "USD"}
    assert api.services.doorbell.rung == [DETECT]
    (asset,) = api.get("/v1/entities/example-corp/holdings")["assets"]
    assert (asset["disclosed"]["quantity"], asset["disclosed"]["source"]) == ("1000", SOURCE)
    assert asset["onchain"]["quantity"] is None
    assert asset["onchain"]["reason"]
    add(api, cost_usd="5000.50", quote="we hold 1,000")
    assert len(api.get(PATH)["items"]) == 1


def test_a_fall_that_was_published_lately_is_an_alert(api):
    add(api)
    later = {"as_of": "2026-11-20", "quantity": "900", "source": SOURCE + "/2"}
    add(api, **later, published_at="2026-11-22T11:00:00Z")
    assert api.services.evaluate_disclosures() == 1
    (alert,) = api.get("/v1/alerts")["items"]
    assert (alert["entity"]["slug"], alert["quantity"]) == ("example-corp", "100")
    assert alert["ground"][0]["document"] == SOURCE + "/2"
    assert alert["value_usd"] is None
    assert "price" in alert["value_reason"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("as_of", "yesterday"), ("as_of", "2026-11-23"), ("as_of", "2008-01-01"),
        ("asset", "DOGE"), ("kind", "rumour"), ("evidence", "gossip"), ("source", ""),
        ("quantity", "-1"), ("quantity", "NaN"), ("quantity", "1e99"), ("quantity", "0E-999999"),
        ("quantity", "0.000000001"), ("cost_usd", "much"), ("cost_usd", "0E-999999"),
        ("published_at", "2026-11-01"), ("published_at", "0001-01-01T00:00:00+14:00"),
        ("published_at", "2026-11-22T12:00:01Z"), ("quote", "a\x00b"), ("colour", "red"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused_by_name(api, field, value):
    reply = add(api, **{field: value})
    assert reply.status_code == 422, reply.text
    assert reply.json()["field"] == field
    assert reply.json()["mend"]
    assert api.get(PATH)["items"] == []


def test_an_amount_that_is_no_text_is_refused(api):
    reply = api.write("POST", PATH, json={**TOTAL, "quantity": 1000.1})
    assert (reply.status_code, reply.json()["mend"]) == (422, "send it as text, in quotes")


def test_only_a_known_holder_discloses_and_only_with_a_key(api):
    assert api.write("POST", "/v1/entities/bourse/disclosures", json=TOTAL).status_code == 422
    assert api.write("POST", "/v1/entities/nobody/disclosures", json=TOTAL).status_code == 404
    assert api.request("POST", PATH, json=TOTAL).status_code == 401
    assert api.request("POST", PATH + "/import", data=b"").status_code == 401


def test_a_file_lands_row_by_row(api):
    rows = (
        "as_of,asset,kind,quantity,source\n"
        f"2026-11-01,BTC,total,1000,{SOURCE}\n"
        f"2026-13-01,BTC,total,1,{SOURCE}\n"
        f"2026-11-02,BTC,total,,{SOURCE}\n"
        f"2026-11-03,BTC,sale,5,{SOURCE}\n"
    )
    report = api.write("POST", PATH + "/import", data=rows).json()
    assert (report["accepted"], report["unchanged"]) == (2, 0)
    assert [(row["row"], row["field"]) for row in report["rejected"]] == [
        (3, "as_of"), (4, "quantity"),
    ]  # fmt: skip
    assert [item["kind"] for item in api.get(PATH)["items"]] == ["sale", "total"]
    wrong = api.write("POST", PATH + "/import", data="when,what\n1,2\n")
    assert (wrong.status_code, wrong.json()["field"]) == (422, "header")


def test_the_day_it_is_added_does_not_matter_to_what_was_believed_before(api):
    add(api)
    before = NOW.replace(hour=11).isoformat().replace("+00:00", "Z")
    assert api.get(PATH, params={"known_at": before})["items"] == []
