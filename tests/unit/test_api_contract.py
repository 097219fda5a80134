"""The frozen names of the public contract, against OpenAPI as it is generated."""

from pathlib import Path
from typing import Any

import pytest

from tests.data import ROOT, shared_data
from tracker.api.app import create_app
from tracker.bootstrap import Services
from tracker.config import Settings
from tracker.db import Database
from tracker.doorbell import Silent

DEFINITION = {"id", "value", "unit", "inputs", "missing"}
REPLAYED = {
    "id", "rule", "entity", "asset", "state", "severity", "intent", "probability", "value_usd",
    "opened_at", "closed_at", "retracted", "historical", "ground", "evidence", "revisions",
}  # fmt: skip

# path -> place of the schema -> field names, as the contract freezes them.
FROZEN: dict[str, dict[str, set[str]]] = {
    "/v1/entities": {
        "items": {
            "slug", "name", "kind", "role", "treasury_class", "country", "ticker",
            "observability", "completeness", "holdings", "mnav", "last_alert",
        },
        "items.mnav": {"id", "value", "as_of"},
    },
    "/v1/entities/{slug}/holdings": {
        "": {"entity", "as_of", "observability", "assets", "chains"},
        "assets": {
            "asset", "onchain", "disclosed", "nowcast", "coverage", "price_usd", "value_usd",
        },
        "assets.onchain": {"quantity", "amount", "by_bucket", "as_of_block"},
        "assets.onchain.as_of_block": {"chain", "height", "hash", "finality"},
        "assets.disclosed": {"quantity", "as_of", "published_at", "source"},
        "assets.nowcast": {"quantity", "as_of", "reason"},
        "chains": {"chain", "height", "hash", "lag_seconds", "state"},
    },
    "/v1/entities/{slug}/transfers": {
        "items": {
            "id", "chain", "tx", "height", "hash", "time", "finality", "asset", "gross_in",
            "gross_out", "fee", "net", "counterparties", "intent", "probability", "evidence",
            "value_usd", "explorer_url",
        },
        "items.counterparties": {"address", "name", "category", "tier"},
    },
    "/v1/entities/{slug}/mnav": {
        "": {"entity", "as_of", "quote_state", "basis", "definitions"},
        "definitions": DEFINITION,
        "definitions.inputs": {"name", "value", "unit", "as_of", "source"},
    },
    "/v1/entities/{slug}/mnav/history": {
        "items": {"entity", "as_of", "quote_state", "basis", "definitions"},
        "items.definitions": DEFINITION,
    },
    "/v1/alerts": {
        "items": REPLAYED | {"acknowledged", "muted_until", "deliveries"},
        "items.evidence": {"rule", "says", "weight", "data"},
        "items.revisions": {
            "revision", "at", "state", "severity", "intent", "probability", "why",
        },
    },
    "/v1/alerts/{alert_id}": {"": REPLAYED | {"acknowledged", "muted_until", "deliveries"}},
    "/v1/events": {"": {"items", "next"}, "items": {"cursor", "id", "type", "timestamp", "data"}},
    "/v1/sources": {
        "items": {
            "name", "kind", "state", "height", "latency_ms", "last_ok", "last_error", "next_try",
        },
    },
}  # fmt: skip

LISTS = [
    "/v1/entities", "/v1/entities/{slug}/transfers", "/v1/entities/{slug}/mnav/history",
    "/v1/entities/{slug}/wallets", "/v1/entities/{slug}/disclosures",
    "/v1/entities/{slug}/capital", "/v1/alerts", "/v1/events", "/v1/sources", "/v1/webhooks",
    "/v1/webhooks/{endpoint}/deliveries", "/v1/entities/{slug}/changes", "/v1/discrepancies",
    "/v1/chains", "/v1/entities/{slug}/holdings/history",
]  # fmt: skip

WRITES = [
    ("/v1/entities", "post"), ("/v1/webhooks", "post"), ("/v1/webhooks/{endpoint}", "delete"),
    ("/v1/webhooks/{endpoint}/replay", "post"), ("/v1/webhooks/{endpoint}/test", "post"),
    ("/v1/webhooks/{endpoint}/rotate", "post"), ("/v1/alerts/{alert_id}/acknowledge", "post"),
    ("/v1/alerts/{alert_id}/mute", "post"), ("/v1/reconcile", "post"),
    ("/v1/chains/{chain}/resume", "post"),
]  # fmt: skip


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    url = "postgresql+psycopg://nobody@127.0.0.1:1/none"  # never reached: only the schema is made
    settings = Settings(database_url=url, data_dir=Path("unused"))
    return create_app(Services(settings, Database(url), Silent())).openapi()


def at(spec: dict[str, Any], path: str, place: str) -> dict[str, Any]:
    """The object schema at a dotted place of a reply; arrays and nullables are walked through."""
    reply = spec["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    schema = plain(spec, reply["schema"])
    for name in filter(None, place.split(".")):
        schema = plain(spec, schema["properties"][name])
    return schema


def plain(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while True:
        if "$ref" in schema:
            schema = spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        elif schema.get("type") == "array":
            schema = schema["items"]
        elif "anyOf" in schema:
            schema = next(each for each in schema["anyOf"] if each.get("type") != "null")
        else:
            return schema


@pytest.mark.parametrize(
    ("path", "place"), [(path, place) for path, places in FROZEN.items() for place in places]
)
def test_every_frozen_name_is_there(spec, path, place):
    found = set(at(spec, path, place)["properties"])
    assert FROZEN[path][place] <= found


@pytest.mark.parametrize("path", LISTS)
def test_lists_are_items_and_next(spec, path):
    assert {"items", "next"} <= set(at(spec, path, "")["properties"])


@pytest.mark.parametrize(("path", "method"), WRITES)
def test_the_writes_of_the_contract_exist(spec, path, method):
    assert method in spec["paths"][path]


def test_amounts_and_quantities_are_strings(spec):
    for path, place, names in [
        ("/v1/entities/{slug}/transfers", "items", ("gross_in", "gross_out", "fee", "net")),
        ("/v1/entities/{slug}/holdings", "assets.onchain", ("quantity", "amount")),
        ("/v1/entities/{slug}/holdings", "assets.disclosed", ("quantity",)),
        ("/v1/entities/{slug}/holdings", "assets", ("coverage", "price_usd", "value_usd")),
        ("/v1/entities/{slug}/mnav", "definitions", ("value",)),
    ]:
        properties = at(spec, path, place)["properties"]
        for name in names:
            assert plain(spec, properties[name])["type"] == "string", (path, place, name)


def test_errors_are_problems_of_the_frozen_shape(spec):
    problem = spec["components"]["schemas"]["Problem"]["properties"]
    assert {"type", "title", "status", "code", "detail", "field", "mend"} <= set(problem)


def test_the_frozen_names_are_those_of_the_contract_page():
    page = shared_data().parent / "contract.md"
    written = page.read_text(encoding="utf-8")
    for places in FROZEN.values():
        for names in places.values():
            for name in names - REPLAYED:
                assert f'"{name}"' in written or f"`{name}`" in written, name


def test_the_manual_names_every_address(spec):
    manual = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for path in spec["paths"]:
        stem = path.replace("{endpoint}", "{id}").replace("{alert_id}", "{id}")
        stem = stem.replace("{key_id}", "{id}")
        last = stem.rsplit("/", 1)[1]
        assert stem in manual or f"…/{last}" in manual or f"|{last}" in manual, path
