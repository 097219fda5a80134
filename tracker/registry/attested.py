"""Wallet sets that an entity attests on its own mempool server.

`GET {base}/api/v1/wallet/{id}` answers with an object from address to what the server knows of it
(github.com/mempool/mempool, backend/src/api/services): `{"address", "active", "stats", …}`. Only
the addresses are taken; the balances are the chain's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec
from sqlmodel import Session

from tracker.chains.address import BITCOIN, ParsedAddress, parse
from tracker.chains.http import HttpClient
from tracker.domain.entity import Role, Tier
from tracker.errors import InputError, ReplyError, TrackerError
from tracker.registry import repository
from tracker.registry.records import RowError
from tracker.registry.replacement import Removal, WalletRow, replace_wallets

OWNER = "attested"

_MAX_BYTES = 32_000_000  # the reply repeats every transaction of every address
_MAX_ADDRESSES = 20_000
_WALLET_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AttestedAddress:
    """An address of the set; `active` is false where the entity says it is no longer in use."""

    parsed: ParsedAddress
    active: bool


@dataclass(frozen=True, slots=True)
class AttestedReport:
    """What a synchronisation with an attested set did. `rejected` counts by place in the reply."""

    source: str
    opened: int
    kept: int
    rejected: tuple[RowError, ...] = ()
    removal: Removal = field(default_factory=Removal)


Fetch = Callable[[str], bytes]


def sync_attested(
    session: Session,
    entity_slug: str,
    url: str,
    wallet_id: str,
    now: datetime,
    *,
    network: str = "mainnet",
    fetch: Fetch | None = None,
) -> AttestedReport:
    """Make the set at `url` the entity's `attested` wallets of that source.

    Those that the set no longer names are closed; wallets of other sources are left alone. `fetch`
    takes the full address and gives the body. The set is read before the transaction begins its
    work. Raises `NotFoundError`, `InputError`, `ReplyError` or `SourceUnavailableError`.
    """
    source = endpoint(url, wallet_id)
    found, rejected = read((fetch or get)(source), network)
    holder = repository.get_entity(session, entity_slug)
    if holder.role != Role.HOLDER or holder.id is None:
        raise InputError(
            f"{holder.slug} is a venue: its addresses are destinations, known by label",
            field="entity",
            value=holder.slug,
            mend="name a holder",
        )
    rows = [
        WalletRow(
            entity_id=holder.id,
            chain=each.parsed.chain,
            address=each.parsed.address,
            key=each.parsed.key,
            role="treasury",
            tier=str(Tier.ATTESTED),
            source=source,
            note=None if each.active else "the entity says that it is no longer in use",
        )
        for each in found
    ]
    repository.lock_sync(session)
    current = repository.open_wallets(session, owner=OWNER, entity_id=holder.id, source=source)
    changes = replace_wallets(session, current, rows, now, owner=OWNER)
    places = {each.parsed.key: number for number, each in enumerate(found, 1)}
    conflicts = tuple(
        RowError(
            places[row.key],
            "address",
            row.address,
            "the address is a wallet from another source",
            "remove that wallet first, if the attested one is to stand",
        )
        for row in changes.foreign
    )
    return AttestedReport(
        source, changes.opened, changes.kept, (*rejected, *conflicts), Removal((), changes.closed)
    )


def endpoint(url: str, wallet_id: str) -> str:
    """The address of a wallet set on the server at base `url`. Raises `InputError`.

    It is stored and shown as the source of each wallet, so that no credentials may stand in it.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise InputError(
            "not the base address of a server",
            field="url",
            mend="give it as https://mempool.example.org",
        )
    if parts.username is not None or parts.password is not None:
        raise InputError(
            "the address holds credentials (not repeated here)",
            field="url",
            mend="give the address without user and password",
        )
    if not _WALLET_ID.fullmatch(wallet_id):
        raise InputError(
            "not the name of a wallet set",
            field="wallet_id",
            value=wallet_id,
            mend="at most 64 letters, digits, hyphens, dots and underscores",
        )
    return f"{url.rstrip('/')}/api/v1/wallet/{wallet_id}"


def get(url: str, *, timeout_seconds: float = 60.0, user_agent: str = "treasury-tracker") -> bytes:
    """The body at `url`, bounded in size and time.

    Raises `SourceUnavailableError` when trying again can help, else `ReplyError`.
    """
    client = HttpClient(url, timeout_seconds=timeout_seconds, user_agent=user_agent, field="url")
    try:
        reply = client.get("", limit=_MAX_BYTES)
    finally:
        client.close()
    if reply.status != HTTPStatus.OK:
        raise ReplyError(
            f"the server answered {reply.status}",
            field="url",
            value=url,
            mend="check the base address and the name of the wallet set",
        )
    return reply.body


def read(
    body: bytes, network: str = "mainnet"
) -> tuple[Sequence[AttestedAddress], tuple[RowError, ...]]:
    """The addresses of a reply, and why some were left out.

    Raises `ReplyError` unless the reply is a set with at least one good address: a server that has
    just started answers with an empty one, which must not be taken for the end of the wallets.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _bad_reply("the reply is not JSON") from None
    if not isinstance(document, dict) or len(document) > _MAX_ADDRESSES:
        raise _bad_reply(f"the reply is not an object of at most {_MAX_ADDRESSES} addresses")
    found: dict[bytes, AttestedAddress] = {}
    rejected: list[RowError] = []
    for number, (address, said) in enumerate(document.items(), 1):
        try:
            parsed = parse(BITCOIN, address, network)
            _check_said(address, said)
        except TrackerError as error:
            rejected.append(RowError.of(number, error))
            continue
        found.setdefault(parsed.key, AttestedAddress(parsed, said.get("active") is not False))
    if not found:
        raise _bad_reply("the set has no address that can be used")
    return list(found.values()), tuple(rejected)


def _check_said(address: str, said: object) -> None:
    if not isinstance(said, dict) or said.get("address", address) != address:
        raise ReplyError(
            "what is said of this address is not about it",
            field="address",
            value=address,
            mend="check the server",
        )


def _bad_reply(message: str) -> ReplyError:
    return ReplyError(
        message, field="reply", mend="check that this is a mempool server's wallet set"
    )
