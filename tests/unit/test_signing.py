"""Signatures: the published vector, the official package both ways, and every refusal."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tracker import signing
from tracker.errors import InputError
from tracker.signing import SignatureError

NOW = datetime(2026, 10, 4, 12, 0, 0, tzinfo=UTC)
BODY = '{"type":"test.ping","data":{"name":"Zürich"}}'.encode()


def headers(*secrets: str, at: datetime = NOW, body: bytes = BODY) -> dict[str, str]:
    return {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": signing.sign(secrets, "evt_1", at, body),
    }


def test_the_published_vector() -> None:
    """The example that the specification's own libraries are tested with."""
    signature = signing.sign(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_official_package_accepts_ours() -> None:
    secret, now = signing.new_secret(), datetime.now(UTC)
    assert Webhook(secret).verify(BODY, headers(secret, at=now)) == json.loads(BODY)


def test_the_official_package_accepts_either_secret_of_a_rotation() -> None:
    new, old, now = signing.new_secret(), signing.new_secret(), datetime.now(UTC)
    sent = headers(new, old, at=now)
    assert Webhook(new).verify(BODY, sent) == Webhook(old).verify(BODY, sent)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(BODY, sent)


def test_we_accept_the_official_package() -> None:
    secret = signing.new_secret()
    sent = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": "v1a,ignored " + Webhook(secret).sign("msg_1", NOW, BODY.decode()),
    }
    assert signing.verify([secret], sent, BODY, NOW) == "msg_1"


def test_a_secret_is_32_random_bytes() -> None:
    first, second = signing.new_secret(), signing.new_secret()
    assert first != second
    assert first.startswith("whsec_")
    assert signing.check_secret(first) == first


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_a_timestamp_within_the_tolerance_is_taken(seconds: int) -> None:
    secret = signing.new_secret()
    sent = headers(secret, at=NOW + timedelta(seconds=seconds))
    assert signing.verify([secret], sent, BODY, NOW) == "evt_1"


@pytest.mark.parametrize(("seconds", "word"), [(-301, "old"), (301, "ahead")])
def test_a_timestamp_beyond_it_is_not(seconds: int, word: str) -> None:
    secret = signing.new_secret()
    sent = headers(secret, at=NOW + timedelta(seconds=seconds))
    with pytest.raises(SignatureError, match=word):
        signing.verify([secret], sent, BODY, NOW)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Webhook-Id", "evt_2"),
        ("Webhook-Timestamp", str(int(NOW.timestamp()) + 1)),
        ("Webhook-Timestamp", "1e9"),
        ("Webhook-Timestamp", "٣"),
        ("Webhook-Signature", "v1,"),
        ("Webhook-Signature", "v1,not base64"),
        ("Webhook-Signature", "v2,AAAA"),
        ("Webhook-Signature", ""),
    ],
)
def test_a_changed_header_is_refused(name: str, value: str) -> None:
    secret = signing.new_secret()
    with pytest.raises(SignatureError) as refused:
        signing.verify([secret], headers(secret) | {name: value}, BODY, NOW)
    assert secret not in str(refused.value)


def test_a_changed_body_is_refused() -> None:
    secret = signing.new_secret()
    with pytest.raises(SignatureError, match="no signature matches"):
        signing.verify([secret], headers(secret), BODY + b" ", NOW)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%%%", "whsec_c2hvcnQ=", "ü" * 40])
def test_a_bad_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(InputError, match="not a signing secret") as refused:
        signing.sign([secret], "evt_1", NOW, BODY)
    assert refused.value.value is None


def test_no_secret_signs_nothing() -> None:
    with pytest.raises(InputError, match="no signing secret"):
        signing.sign([], "evt_1", NOW, BODY)
