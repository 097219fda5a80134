"""Attested wallet sets, read over HTTP from a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from sqlmodel import Session, select

from tracker.db import Database
from tracker.db.registry import Wallet
from tracker.errors import (
    InputError,
    NotFoundError,
    ReplyError,
    SourceUnavailableError,
    TrackerError,
)
from tracker.registry import attested, entities, repository, wallets
from tracker.registry.attested import sync_attested

NOW = datetime(2026, 11, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
FIRST = "1FsSia9rv4NeEwvJ2GvXrX7LyxYspbN2mo"
SECOND = "36j4NfKv6Akva9amjWrLG6MuSQym1GuEmm"
STATS = {"funded_txo_count": 1, "funded_txo_sum": 5, "spent_txo_count": 0, "tx_count": 1}


def a_set(*addresses: str, **inactive: bool) -> dict[str, Any]:
    """The shape of a mempool server's reply."""
    return {
        address: {
            "address": address,
            "active": inactive.get(address, True),
            "stats": STATS,
            "transactions": [],
            "lastSync": 1,
        }
        for address in addresses
    }


@contextmanager
def serving(status: int, body: bytes, **headers: str) -> Iterator[tuple[str, list[str]]]:
    """A server that gives every request the same answer, and the paths it was asked for."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def session(postgres_url: str) -> Iterator[Session]:
    database = Database(postgres_url)
    with database.transaction() as session:
        entities.add(session, slug="acme", name="Acme", kind="dat", now=NOW)
        entities.add(session, slug="bourse", name="Bourse", kind="exchange", now=NOW)
        yield session
    database.dispose()


def test_a_set_becomes_attested_wallets_and_what_vanishes_is_closed(session: Session) -> None:
    own = wallets.add(
        session,
        entity="acme",
        chain="bitcoin",
        now=NOW,
        address="1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
    )

    def replies(reply: dict[str, Any]) -> Any:
        return lambda _: json.dumps(reply).encode()

    with serving(200, json.dumps(a_set(FIRST, SECOND)).encode()) as (url, asked):
        report = sync_attested(session, "acme", url + "/", "xxi", NOW)
        assert asked == ["/api/v1/wallet/xxi"]
    assert (report.opened, report.kept, report.rejected) == (2, 0, ())
    found = {wallet.key: wallet for wallet in repository.watched(session, "bitcoin")[1]}
    assert sorted(wallet.tier for wallet in found.values()) == ["attested", "attested", "user"]
    again = sync_attested(session, "acme", url, "xxi", LATER, fetch=replies(a_set(FIRST, SECOND)))
    assert (again.opened, again.kept) == (0, 2)
    less = sync_attested(session, "acme", url, "xxi", LATER, fetch=replies(a_set(FIRST)))
    assert [closed.address for closed in less.removal.wallets] == [SECOND]
    # Another set, and the operator's own wallet, are other sources.
    sync_attested(session, "acme", url, "cold", LATER, fetch=replies(a_set(SECOND)))
    assert len(repository.watched(session, "bitcoin")[1]) == 3
    assert session.get(Wallet, own.id).closed_at is None  # type: ignore[union-attr]


def test_an_address_out_of_use_stays_watched_and_says_so(session: Session) -> None:
    reply = a_set(FIRST, **{FIRST: False})
    sync_attested(
        session, "acme", "https://a.example", "w", NOW, fetch=lambda _: json.dumps(reply).encode()
    )
    assert session.exec(select(Wallet)).one().note == "the entity says that it is no longer in use"


def test_bad_addresses_and_those_of_others_are_named(session: Session) -> None:
    wallets.add(session, entity="acme", chain="bitcoin", address=SECOND, now=NOW)
    reply = {
        **a_set(FIRST, SECOND, FIRST[:-1] + "p"),
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq": {"address": FIRST},
    }
    report = sync_attested(
        session, "acme", "https://a.example", "w", NOW, fetch=lambda _: json.dumps(reply).encode()
    )
    assert report.opened == 1
    assert sorted((error.value or "")[:6] for error in report.rejected) == [
        "1FsSia",
        "36j4Nf",
        "bc1qar",
    ]


NO_SETS = (
    b"{}",
    b"[]",
    b"<html>",
    b"\xff",
    b"[" * 100_000,
    b"null",
    b'{"' + FIRST.encode() + b'": 7}',
    json.dumps(a_set("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx")).encode(),
)


def test_a_reply_without_a_set_closes_nothing(session: Session) -> None:
    good = json.dumps(a_set(FIRST)).encode()
    sync_attested(session, "acme", "https://a.example", "w", NOW, fetch=lambda _: good)
    for body in NO_SETS:
        with pytest.raises(ReplyError):
            attested.read(body)
    with pytest.raises(ReplyError):
        sync_attested(session, "acme", "https://a.example", "w", LATER, fetch=lambda _: b"{}")
    assert len(repository.watched(session, "bitcoin")[1]) == 1


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (404, {}, ReplyError),
        (302, {"Location": "http://192.0.2.1/"}, ReplyError),
        (503, {}, SourceUnavailableError),
        (429, {"Retry-After": "7"}, SourceUnavailableError),
    ],
)
def test_other_answers_are_errors(
    status: int, headers: dict[str, str], error: type[TrackerError]
) -> None:
    with serving(status, b"No such wallet", **headers) as (url, _), pytest.raises(error) as caught:
        attested.get(url + "/api/v1/wallet/w")
    assert caught.value.mend


def test_a_long_reply_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attested, "_MAX_BYTES", 1000)
    with serving(200, b" " * 1001) as (url, _), pytest.raises(ReplyError, match="1000 bytes"):
        attested.get(url)


def test_a_server_that_is_not_there_can_be_tried_again() -> None:
    with serving(200, b"") as (url, _):
        pass
    with pytest.raises(SourceUnavailableError):
        attested.get(url, timeout_seconds=2)


@pytest.mark.parametrize(
    ("url", "wallet_id", "field"),
    [
        ("ftp://a.example", "w", "url"),
        ("a.example", "w", "url"),
        ("https://a.example?x=1", "w", "url"),
        ("https://[::1", "w", "url"),
        ("https://user:hunter2@a.example", "w", "url"),
        ("https://a.example", "../admin", "wallet_id"),
        ("https://a.example", "", "wallet_id"),
    ],
)
def test_bad_places_are_refused_without_repeating_credentials(
    url: str, wallet_id: str, field: str
) -> None:
    with pytest.raises(InputError) as caught:
        attested.endpoint(url, wallet_id)
    assert caught.value.field == field
    assert "hunter2" not in str(caught.value)


def test_only_a_known_holder_can_have_a_set(session: Session) -> None:
    good = json.dumps(a_set(FIRST)).encode()
    with pytest.raises(InputError, match="venue"):
        sync_attested(session, "bourse", "https://a.example", "w", NOW, fetch=lambda _: good)
    with pytest.raises(NotFoundError):
        sync_attested(session, "nobody", "https://a.example", "w", NOW, fetch=lambda _: good)
