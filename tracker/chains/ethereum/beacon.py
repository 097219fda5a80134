"""Validators' balances, from a consensus client's Beacon API.

Source: https://ethereum.github.io/beacon-APIs/ , `getStateValidators`. What it says is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from tracker.chains.http import HttpClient, Reply
from tracker.errors import (
    ConfigError,
    MethodMissingError,
    NotFoundError,
    PrunedStateError,
    ReplyError,
    SourceUnavailableError,
)

MAX_IDS = 30  # a public key takes 99 characters of the URL
_LIMIT_BYTES = 1024 * 1024
_PUBLIC_KEY_BYTES = 48


class _Key(Struct):
    pubkey: str
    withdrawal_credentials: str
    effective_balance: str
    slashed: bool = False


class _Item(Struct):
    index: str
    balance: str
    status: str
    validator: _Key


class _Validators(Struct):
    data: list[_Item]
    execution_optimistic: bool = False
    finalized: bool | None = None


class _Problem(Struct):
    code: int = 0
    message: str = ""


class Validator(Struct, frozen=True):
    """A validator in one state. Balances are gwei; `status` as the Beacon API names it."""

    index: int
    public_key: bytes
    status: str
    balance: int
    effective_balance: int
    withdrawal_credentials: bytes
    slashed: bool


class BeaconClient:
    """One consensus client. Everything raised names it without credentials."""

    kind = "beacon"

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self.name = f"beacon+{http.name}"

    def validators(
        self, public_keys: Sequence[bytes], *, state: Literal["finalized", "head"] = "finalized"
    ) -> dict[bytes, Validator]:
        """The validators with these keys; one that the state does not know is left out.

        Raises `SourceUnavailableError` where the node cannot be reached, or has not verified the
        state itself yet, and `ReplyError` for anything else than was asked for.
        """
        wanted = list(dict.fromkeys(public_keys))
        found: dict[bytes, Validator] = {}
        for start in range(0, len(wanted), MAX_IDS):
            some = wanted[start : start + MAX_IDS]
            for item in self._ask(some, state):
                validator = self._validator(item)
                if validator.public_key not in some or validator.public_key in found:
                    raise ReplyError(
                        f"{self.name} answered with a validator that was not asked for",
                        field="pubkey", value=item.validator.pubkey,
                        mend="check that the URL leads to a Beacon API",
                    )
                found[validator.public_key] = validator
        return found

    def close(self) -> None:
        """Close the kept connections."""
        self._http.close()

    def _ask(self, public_keys: Sequence[bytes], state: str) -> list[_Item]:
        ids = ",".join("0x" + key.hex() for key in public_keys)
        reply = self._http.get(
            f"/eth/v1/beacon/states/{state}/validators?id={ids}", limit=_LIMIT_BYTES
        )
        if reply.status != 200:
            raise self._refused(reply, state)
        try:
            answer = msgspec.json.decode(reply.body, type=_Validators)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise ReplyError(
                f"{self.name} answered without validators", field="reply", value=reply.text[:120],
                mend="check that TRACKER_BEACON_URL leads to a Beacon API",
            ) from None
        if answer.execution_optimistic:
            raise SourceUnavailableError(
                f"{self.name} has not verified its newest blocks yet",
                field="execution_optimistic", value="true",
                mend="its execution client is syncing; it is tried again by itself",
            )
        return answer.data

    def _validator(self, item: _Item) -> Validator:
        key = item.validator
        try:
            public_key = bytes.fromhex(key.pubkey.removeprefix("0x"))
            credentials = bytes.fromhex(key.withdrawal_credentials.removeprefix("0x"))
            numbers = int(item.index), int(item.balance), int(key.effective_balance)
        except ValueError:
            public_key, credentials, numbers = b"", b"", (-1, -1, -1)
        if len(public_key) != _PUBLIC_KEY_BYTES or len(credentials) != 32 or min(numbers) < 0:
            raise ReplyError(
                f"{self.name} answered with an unreadable validator", field="validator",
                value=item.index, mend="check that TRACKER_BEACON_URL leads to a Beacon API",
            )
        return Validator(
            numbers[0], public_key, item.status, numbers[1], numbers[2], credentials, key.slashed
        )

    def _refused(self, reply: Reply, state: str) -> Exception:
        try:
            said = msgspec.json.decode(reply.body, type=_Problem).message
        except (msgspec.MsgspecError, UnicodeDecodeError):
            said = reply.text[:120]
        if reply.status in (401, 403):
            return ConfigError(
                f"{self.name} refuses us", field="TRACKER_BEACON_URL", value=reply.status,
                mend="check the key in the URL",
            )
        if reply.status in (404, 405, 501) and "state" not in said.lower():
            return MethodMissingError(
                f"{self.name} does not offer validators", field="status", value=reply.status,
                mend="give the URL where the Beacon API begins",
            )
        if reply.status == 404:
            kind = PrunedStateError if state != "head" else NotFoundError
            return kind(
                f"{self.name} does not have that state", field="state", value=state,
                mend="it may be syncing; it is tried again by itself",
            )
        return ReplyError(
            f"{self.name} answered with status {reply.status}", field="reply", value=said,
            mend="check that TRACKER_BEACON_URL leads to a Beacon API",
        )
