"""Validators from a Beacon API over a real local server, and what else may answer there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http_server import Response, serving
from tracker.chains.ethereum.beacon import MAX_IDS, BeaconClient
from tracker.chains.ethereum.sources import open_beacon
from tracker.config import Settings
from tracker.errors import (
    ConfigError,
    MethodMissingError,
    PrunedStateError,
    ReplyError,
    SourceUnavailableError,
    TrackerError,
)

KEYS = [bytes([number]) * 48 for number in range(1, 71)]
PATH = "/eth/v1/beacon/states/finalized/validators"


def item(key: bytes, **changed: Any) -> dict[str, Any]:
    """A validator as the API's own example has it."""
    return {
        "index": str(key[0]), "balance": "32001234567", "status": "active_ongoing",
        "validator": {
            "pubkey": "0x" + key.hex(), "withdrawal_credentials": "0x01" + "00" * 11 + "22" * 20,
            "effective_balance": "32000000000", "slashed": False,
            "activation_eligibility_epoch": "1", "activation_epoch": "1",
            "exit_epoch": "18446744073709551615", "withdrawable_epoch": "18446744073709551615",
        },
        **changed,
    }


def reply(*items: dict[str, Any], **changed: Any) -> Response:
    body = {"execution_optimistic": False, "finalized": True, "data": list(items), **changed}
    return Response(body=body)


def client(url: str) -> BeaconClient:
    found = open_beacon(Settings(beacon_url=url, http_timeout_seconds=5))
    assert found is not None
    return found


def test_many_validators_come_in_bounded_batches() -> None:
    asked: list[list[str]] = []

    def answer(path: str, query: dict[str, str]) -> Response:
        assert path == PATH
        asked.append(query["id"].split(","))
        known = [bytes.fromhex(text[2:]) for text in asked[-1]]
        return reply(*(item(key) for key in known if key != KEYS[5]))

    with serving(answer) as url:
        found = client(url).validators([*KEYS, *KEYS[:3]])
    assert [len(some) for some in asked] == [MAX_IDS, MAX_IDS, 10]
    assert set(found) == set(KEYS) - {KEYS[5]}
    one = found[KEYS[0]]
    assert (one.index, one.status, one.balance) == (1, "active_ongoing", 32_001_234_567)
    assert one.effective_balance == 32_000_000_000
    assert one.withdrawal_credentials == b"\x01" + bytes(11) + b"\x22" * 20
    assert not one.slashed


def test_no_keys_ask_nothing() -> None:
    with serving(lambda path, query: Response(status=500)) as url:
        assert client(url).validators([]) == {}


@pytest.mark.parametrize(("response", "due"), [
    (reply(item(KEYS[9])), ReplyError),  # one that was not asked for
    (reply(item(KEYS[0]), item(KEYS[0])), ReplyError),
    (reply(item(KEYS[0], balance="-1")), ReplyError),
    (reply(item(KEYS[0], balance="x")), ReplyError),
    (reply(item(KEYS[0], index=None)), ReplyError),
    (reply(item(KEYS[0]), execution_optimistic=True), SourceUnavailableError),
    (Response(body=b"<html>hello</html>"), ReplyError),
    (Response(body=b'{"data": ['), ReplyError),
    (Response(status=400, body={"code": 400, "message": "Invalid id"}), ReplyError),
    (Response(status=404, body={"code": 404, "message": "State not found"}), PrunedStateError),
    (Response(status=404, body=b"404 page not found"), MethodMissingError),
    (Response(status=401, body=b"no"), ConfigError),
    (Response(status=429, body=b"slow", headers={"Retry-After": "9"}), SourceUnavailableError),
    (Response(status=503, body=b"syncing"), SourceUnavailableError),
])
def test_what_else_may_answer(response: Response, due: type[TrackerError]) -> None:
    with serving(lambda path, query: response) as url, pytest.raises(due) as caught:
        client(url).validators(KEYS[:1])
    assert caught.value.mend
    assert type(caught.value) is due or due is SourceUnavailableError


def test_without_a_url_there_is_no_client() -> None:
    assert open_beacon(Settings()) is None


def test_the_name_has_no_credentials() -> None:
    found = open_beacon(Settings(beacon_url="https://user:hunter2@beacon.example/"))
    assert found is not None
    assert found.name == "beacon+https://beacon.example"
