"""Descriptors as wallets: the addresses of one's own treasury, watched up to a gap beyond use.

A descriptor or extended public key stands for endless addresses. On each branch all are watched up
to `gap_limit` beyond the last one used (BIP 44), so a wallet that skips fewer is seen whole. It is
widened in the transaction that sees a use: nothing is paid to an address before it is watched,
unless more than the gap was skipped at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session

from tracker.chains.bitcoin.descriptor import GAP_LIMIT
from tracker.chains.bitcoin.descriptor import Descriptor as Parsed
from tracker.db.registry import Descriptor, Wallet
from tracker.domain.entity import Tier
from tracker.errors import ConflictError, InputError, NotFoundError
from tracker.log import get_logger
from tracker.registry import repository
from tracker.registry.derived_wallets import CHAIN, lack_of, mark, open_lacking
from tracker.registry.descriptor_sets import repository as rows
from tracker.registry.descriptor_sets.repository import Counts, Place
from tracker.registry.records import record
from tracker.registry.replacement import Removal, closed_wallet
from tracker.registry.wallets import ROLES, require_holder

MAX_GAP_LIMIT = 1_000
NO_CHANGE_BRANCH = (
    "it has no change branch: change would look like coins that left; write <0;1> in place of the "
    "branch, or add the change descriptor too"
)

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """A followed descriptor without its text: `shown` is its safe form."""

    row: Descriptor = field(repr=False)
    entity: str
    shown: str
    branches: int
    counts: Counts
    warnings: tuple[str, ...] = ()
    note: str | None = None  # why some opening cannot be had


@dataclass(frozen=True, slots=True)
class Widened:
    """New wallets of descriptors: what they are matched by, and the watch set's new version."""

    version: int
    keys: frozenset[bytes]


def add(
    session: Session,
    *,
    entity: str,
    text: str,
    now: datetime,
    network: str = "mainnet",
    gap_limit: int = GAP_LIMIT,
    **more: Any,
) -> Listed:
    """Follow the descriptor `text` as wallets of the holder `entity`, from the next block on.

    `more` are role, tier, source and note, as of a wallet. A wallet of the same holder that is at
    one of its places already becomes part of it. Raises `NotFoundError`, `InputError`, or
    `ConflictError` where the descriptor, or one of its addresses, is somebody's already; no error
    holds the text.
    """
    parsed = Parsed.parse(text, network)
    if not 1 <= gap_limit <= MAX_GAP_LIMIT:
        raise InputError(
            "no such gap limit", field="gap_limit", value=gap_limit,
            mend=f"give 1 to {MAX_GAP_LIMIT} addresses; {GAP_LIMIT} is usual",
        )  # fmt: skip
    holder = repository.get_entity(session, entity)
    require_holder(holder)
    cells = record(**more)
    row = Descriptor(
        entity_id=holder.id or 0,
        chain=CHAIN,
        text=parsed.text,
        fingerprint=parsed.fingerprint,
        gap_limit=gap_limit,
        role=cells.choice("role", ROLES, "treasury"),
        tier=cells.member("tier", Tier, Tier.USER),
        source=cells.optional("source"),
        note=cells.optional("note"),
        recorded_at=now,
    )
    # The bump comes first: it holds off the next block, and another that adds the same.
    repository.bump_watch_set(session, CHAIN)
    known = rows.find_open(session, parsed.fingerprint)
    if known is not None:
        owner = repository.entities_by_id(session, [known.entity_id])[known.entity_id]
        raise _followed(parsed, known, owner.slug)
    row.id = rows.insert_descriptor(session, row)
    lack = lack_of(session, row, parsed, parsed.window((), gap_limit))
    if lack.foreign:
        raise _foreign(session, *lack.foreign[0])
    open_lacking(session, row, parsed, lack, now)
    while extend(session, rows.places_moved(session), network=network, now=now):
        pass  # wallets that were known before may have been used far up
    log.info("descriptor_added", descriptor=parsed.fingerprint, entity=holder.slug)
    return get(session, row.id, network=network)


def extend(
    session: Session,
    used: Mapping[int, Collection[Place]],
    *,
    network: str,
    now: datetime,
) -> Widened | None:
    """Watch every address up to the gap beyond the places `used` (by descriptor id).

    Bumps the watch set once, and only if an address is new; None where there is none. A transaction
    that holds the watch set holds it `to_bump`.
    """
    wanted = []
    for descriptor_id in sorted(used):
        row = rows.open_descriptor(session, descriptor_id)
        if row is None:
            continue
        parsed = Parsed.parse(row.text, network)
        window = parsed.window(used[descriptor_id], row.gap_limit)
        if lack_of(session, row, parsed, window):
            wanted.append((row, parsed, window))
    if not wanted:
        return None
    version = repository.bump_watch_set(session, CHAIN)
    keys: set[bytes] = set()
    for row, parsed, window in wanted:
        # Looked at again: the bump has waited for any other that widens.
        opened = open_lacking(session, row, parsed, lack_of(session, row, parsed, window), now)
        keys |= opened
        log.info("descriptor_widened", descriptor=row.fingerprint, wallets=len(opened))
    return Widened(version, frozenset(keys))


def extend_matched(
    session: Session, keys: Collection[bytes], *, network: str, now: datetime
) -> Widened | None:
    """As `extend`, for the places at which these keys (of one block's movements) stand."""
    return extend(session, rows.places_at(session, CHAIN, keys), network=network, now=now)


def extend_moved(session: Session, *, network: str, now: datetime) -> Widened | None:
    """As `extend`, for every place that the ledger ever saw used: openings, dated movements."""
    return extend(session, rows.places_moved(session), network=network, now=now)


def places_of(wallets: Iterable[Wallet]) -> dict[int, set[Place]]:
    """The places of these wallets, by descriptor; those of none are left out."""
    found: dict[int, set[Place]] = {}
    for each in wallets:
        if each.descriptor_id and each.branch is not None and each.child_index is not None:
            found.setdefault(each.descriptor_id, set()).add((each.branch, each.child_index))
    return found


def get(session: Session, descriptor_id: int, *, network: str) -> Listed:
    """One followed descriptor. Raises `NotFoundError`."""
    for listed in list_all(session, network=network):
        if listed.row.id == descriptor_id:
            return listed
    raise NotFoundError(
        "no such descriptor", field="descriptor", value=descriptor_id,
        mend="list them: `tracker wallets descriptors`",
    )  # fmt: skip


def list_all(session: Session, *, network: str) -> list[Listed]:
    """Every followed descriptor, oldest first."""
    found = rows.list_open(session)
    counts = rows.counts(session) if found else {}
    owners = repository.entities_by_id(session, {row.entity_id for row in found})
    listed = []
    for row in found:
        parsed = Parsed.parse(row.text, network)
        own = counts.get(row.id or 0, Counts())
        listed.append(
            Listed(
                row=row,
                entity=owners[row.entity_id].slug,
                shown=parsed.shown,
                branches=parsed.branch_count,
                counts=own,
                warnings=_warnings(parsed),
                note=rows.first_note(session, row.id or 0) if own.refused else None,
            )
        )
    return listed


def remove(session: Session, descriptor_id: int, now: datetime) -> Removal:
    """Stop following a descriptor: the wallets made from it are closed, what they saw stays.

    A wallet that was known before stays, by itself. Raises `NotFoundError`.
    """
    repository.bump_watch_set(session, CHAIN)
    row = rows.open_descriptor(session, descriptor_id)
    if row is None:
        raise NotFoundError(
            "no such descriptor", field="descriptor", value=descriptor_id,
            mend="list them: `tracker wallets descriptors`",
        )  # fmt: skip
    wallets = rows.wallets_of(session, descriptor_id)
    made = [wallet for wallet in wallets if mark(row) in (wallet.source or "")]
    mine = {wallet.id for wallet in made}
    rows.unlink(session, [wallet.id for wallet in wallets if wallet.id and wallet.id not in mine])
    repository.close_wallets(session, [key for key in mine if key is not None], now)
    rows.close(session, descriptor_id, now)
    log.info("descriptor_removed", descriptor=row.fingerprint, wallets=len(made))
    return Removal(wallets=tuple(closed_wallet(wallet) for wallet in made))


def _warnings(parsed: Parsed) -> tuple[str, ...]:
    return (NO_CHANGE_BRANCH,) if parsed.ranged and parsed.branch_count == 1 else ()


def _followed(parsed: Parsed, known: Descriptor, slug: str) -> ConflictError:
    return ConflictError(
        f"{slug} has this descriptor already", field="descriptor", value=parsed.shown,
        mend=f"remove it first (`tracker wallets remove --descriptor {known.id}`), if it is wrong",
    )  # fmt: skip


def _foreign(session: Session, wallet: Wallet, place: Place) -> ConflictError:
    owner = repository.entities_by_id(session, [wallet.entity_id])[wallet.entity_id]
    branch, index = place
    part = f", part of descriptor {wallet.descriptor_id}" if wallet.descriptor_id else ""
    return ConflictError(
        f"an address of it is a wallet of {owner.slug}{part} already",
        field="descriptor",
        value=f"branch {branch}, index {index}",
        mend="remove that wallet or descriptor first, if it is wrong",
    )
