"""Who may read and write, from where, and what an answer gives away."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests

from tests.api_service import NOW, Api, running_api, services_for
from tracker.db import Database
from tracker.operations import keys

NEW = {"slug": "example-corp", "name": "Example Corp", "kind": "dat"}


@pytest.fixture
def api(postgres_url: str, tmp_path) -> Iterator[Api]:
    with running_api(services_for(postgres_url, tmp_path)) as api:
        yield api


@pytest.fixture
def closed(postgres_url: str, tmp_path) -> Iterator[Api]:
    """An API whose reads need a key too."""
    services = services_for(postgres_url, tmp_path, api_keys_required_for_reads=True)
    with running_api(services) as api:
        yield api


def made(api: Api, *scopes: str) -> str:
    with api.services.database.transaction() as session:
        return keys.create(session, "of a test", scopes, NOW)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_reads_are_open_on_loopback_and_writes_never(api):
    assert api.request("GET", "/v1/entities").status_code == 200
    refused = api.request("POST", "/v1/entities", json=NEW)
    assert refused.status_code == 401
    assert refused.json()["code"] == "unauthorized"
    assert "Bearer" in refused.headers["www-authenticate"]
    assert api.write("POST", "/v1/entities", json=NEW).status_code == 201


def every_write(api: Api) -> list[tuple[str, str]]:
    paths = api.get("/openapi.json")["paths"]
    return [
        (method.upper(), re.sub(r"{key_id}", "1", re.sub(r"{\w+}", "x", path)))
        for path, methods in paths.items()
        for method in methods
        if method != "get"
    ]


def test_no_write_passes_without_a_key(api):
    writes = every_write(api)
    assert len(writes) >= 18
    for method, path in writes:
        assert api.request(method, path, json={}).status_code in (401, 422), (method, path)
        with_read_key = api.request(method, path, json={}, headers=bearer(made(api, "read")))
        assert with_read_key.status_code in (403, 422), (method, path)
    assert api.get("/v1/entities")["items"] == []


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer ttk_wrong", "Basic x", "ttk_x", "Bearer é"]
)
def test_wrong_keys_are_refused_without_being_repeated(api, header):
    reply = api.request("GET", "/v1/keys", headers={"Authorization": header.encode("latin-1")})
    assert reply.status_code == 401
    assert "ttk_wrong" not in reply.text


def test_a_key_of_the_right_beginning_is_not_enough(api):
    key = api.key[:-1] + ("A" if api.key[-1] != "A" else "B")
    assert api.request("GET", "/v1/keys", headers=bearer(key)).status_code == 401


def test_a_read_key_cannot_write(api):
    reply = api.request("POST", "/v1/entities", json=NEW, headers=bearer(made(api, "read")))
    assert reply.status_code == 403
    assert "write" in reply.json()["detail"]


def test_a_revoked_key_is_dead_at_once(api):
    made_key = api.write("POST", "/v1/keys", json={"name": "passing", "scopes": ["write"]})
    assert made_key.status_code == 201
    key = made_key.json()["key"]
    listed = api.request("GET", "/v1/keys", headers=bearer(key)).json()["items"]
    assert [item["name"] for item in listed] == ["local command line", "passing"]
    assert key not in str(listed)
    assert api.write("DELETE", f"/v1/keys/{listed[1]['id']}").status_code == 200
    assert api.request("GET", "/v1/keys", headers=bearer(key)).status_code == 401
    last = api.write("DELETE", f"/v1/keys/{listed[0]['id']}")
    assert last.status_code == 409  # else nobody could make another


def test_where_reads_are_closed_a_key_opens_them_and_a_browser_can_bring_it(closed):
    key = made(closed, "read")
    for path in ("/v1/entities", "/v1/sources", "/", "/alerts"):
        assert closed.request("GET", path).status_code == 401, path
        assert closed.request("GET", path, headers=bearer(key)).status_code == 200, path
        assert closed.request("GET", path, auth=("anybody", key)).status_code == 200, path
    assert "Basic" in closed.request("GET", "/").headers["www-authenticate"]
    assert closed.request("GET", "/healthz").status_code == 200


def test_a_browsers_basic_login_cannot_write(closed):
    coded = base64.b64encode(f"x:{closed.key}".encode()).decode()
    reply = closed.request(
        "POST", "/v1/entities", json=NEW, headers={"Authorization": f"Basic {coded}"}
    )
    assert reply.status_code == 401


@pytest.mark.parametrize("host", ["rebound.example", "rebound.example:8321", ""])
def test_a_foreign_host_name_is_refused(api, host):
    for path in ("/v1/entities", "/", "/static/style.css", "/healthz"):
        reply = api.request("GET", path, headers={"Host": host})
        assert reply.status_code == 421, path
        assert reply.json()["field"] == "Host"


def test_no_page_of_another_origin_is_let_in(api):
    origin = {"Origin": "https://rebound.example"}
    reply = api.request("GET", "/v1/entities", headers=origin)
    asked = api.request(
        "OPTIONS", "/v1/entities", headers={**origin, "Access-Control-Request-Method": "POST"}
    )
    for answer in (reply, asked):
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert asked.status_code == 405


def test_security_headers_are_on_everything(api):
    for path in ("/", "/v1/entities", "/static/style.css", "/v1/entities/none", "/nowhere"):
        headers = api.request("GET", path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "script-src" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_a_large_body_is_refused_unread(api):
    big = b"x" * 1_000_001
    declared = api.write("POST", "/v1/webhooks", data=big)
    assert declared.status_code == 413
    streamed = api.write("POST", "/v1/webhooks", data=iter([big[:600_000], big[:600_000]]))
    assert streamed.status_code in (400, 413)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"slug": "x", "name": "X"}', "kind"),
        (b'{"slug": "x", "name": "X", "kind": "dat", "nmae": 1}', "nmae"),
        (b'{"slug": 5, "name": "X", "kind": "dat"}', "slug"),
        (b'{"slug": "x", "name": "a\\u0000b", "kind": "dat"}', "name"),
        (b'{"slug": "x", "name": "a\\ud800b", "kind": "dat"}', "name"),
    ],
)
def test_a_bad_body_is_named(api, body, field):
    reply = api.write(
        "POST", "/v1/entities", data=body, headers={"Content-Type": "application/json"}
    )
    assert reply.status_code == 422
    assert reply.json()["field"] == field
    assert reply.json()["mend"]


@pytest.mark.parametrize(
    "path",
    ["/v1/entities/%00", "/v1/entities?q=%00", "/v1/alerts/a%00", "/?q=%00", "/entities/%00",
     "/v1/alerts?rule=%00"],
)  # fmt: skip
def test_a_nul_character_is_refused_everywhere(api, path):
    assert api.request("GET", path).status_code == 422


def test_odd_characters_find_nothing_and_break_nothing(api):
    for text in ("%F0%9F%92%A9", "%25", "%27%3B--", "..%2F..%2Fetc", "%ED%A0%80", "a" * 90):
        assert api.request("GET", f"/v1/entities/{text}").status_code in (404, 422), text
        assert api.request("GET", f"/v1/entities?q={text}").status_code == 200, text
        assert api.request("GET", f"/alerts/{text}").status_code == 404, text
        assert api.request("GET", f"/static/{text}").status_code == 404, text


def test_an_address_that_does_not_exist_is_a_problem_too(api):
    reply = api.request("GET", "/v1/nothing")
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
    assert api.request("PUT", "/v1/entities").json()["code"] == "method_not_allowed"


def test_a_lost_database_is_503_without_a_stack_trace(tmp_path, postgres_url):
    services = services_for(postgres_url, tmp_path)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        services.database.dispose()
        services.database = Database(f"postgresql+psycopg://u:secret@127.0.0.1:{port}/x")
        with running_api(services) as api:
            reply = api.request("GET", "/v1/entities")
            assert reply.status_code == 503
            assert reply.headers["retry-after"]
            assert reply.json()["mend"]
            for text in (reply.text, api.request("GET", "/").text):
                assert "secret" not in text
                assert "Traceback" not in text
            assert api.get("/healthz")["status"] == "ok"
            ready = api.request("GET", "/readyz")
            assert ready.status_code == 503
            failed = [check["name"] for check in ready.json()["checks"] if not check["ok"]]
            assert failed == ["database", "broker"]


def test_ready_with_database_schema_and_broker(postgres_url, redis_url, tmp_path):
    services = services_for(postgres_url, tmp_path, redis_url=redis_url)
    with running_api(services) as api:
        ready = api.get("/readyz")
    assert ready["status"] == "ready"
    assert [check["name"] for check in ready["checks"]] == ["database", "schema", "broker"]


def test_the_guard_stands_before_a_slow_clients_connection(api):
    # One client that sends nothing must not keep others from being served.
    address = api.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=5) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert requests.get(f"{api.url}/healthz", timeout=10).status_code == 200


def test_a_mute_needs_a_time_to_come(api):
    for until in (NOW - timedelta(hours=1), NOW):
        reply = api.write("POST", "/v1/alerts/al_x/mute", json={"until": until.isoformat()})
        assert (reply.status_code, reply.json()["field"]) == (422, "until")
    naive = api.write("POST", "/v1/alerts/al_x/mute", json={"until": "2030-01-01T00:00:00"})
    assert (naive.status_code, naive.json()["field"]) == (422, "until")
    unknown = api.write("POST", "/v1/alerts/al_x/mute", json={"until": None})
    assert unknown.status_code == 404
