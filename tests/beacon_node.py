"""A Beacon API on loopback that says of validators what a test tells it to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.http_server import Response, serving

PATH = "/eth/v1/beacon/states/finalized/validators"


@dataclass
class BeaconNode:
    """`validators` by public key, as the API shows them; `asked` are the keys asked about."""

    url: str = ""
    validators: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def say(
        self, pubkey: bytes, status: str, gwei: int, owner: str, *, slashed: bool = False
    ) -> None:
        """What to say of a validator whose credentials name the address `owner`."""
        name = "0x" + pubkey.hex()
        known = self.validators.get(name, {"index": str(len(self.validators) + 1)})
        self.validators[name] = {
            "index": known["index"], "balance": str(gwei), "status": status,
            "validator": {
                "pubkey": name, "withdrawal_credentials": "0x01" + "00" * 11 + owner[2:].lower(),
                "effective_balance": "32000000000", "slashed": slashed,
                "activation_eligibility_epoch": "1", "activation_epoch": "1",
                "exit_epoch": "18446744073709551615", "withdrawable_epoch": "18446744073709551615",
            },
        }

    def answer(self, path: str, query: dict[str, str]) -> Response:
        """The reply to a request."""
        if path != PATH:
            return Response(status=404, body={"code": 404, "message": "not here"})
        keys = query["id"].split(",")
        self.asked += keys
        found = [self.validators[key] for key in keys if key in self.validators]
        return Response(body={"execution_optimistic": False, "finalized": True, "data": found})


@contextmanager
def beacon_node() -> Iterator[BeaconNode]:
    """Run one until the block ends."""
    found = BeaconNode()
    with serving(found.answer) as url:
        found.url = url
        yield found
