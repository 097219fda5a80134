"""Replacing a set of rows by a newer one: what stays, what is opened, what is closed.

Rows are bitemporal: one that changed is closed and opened anew, one that is the same is left alone,
so that the same set written twice changes nothing. Only the rows of the set itself are touched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from tracker.db.registry import Label, Wallet
from tracker.registry import repository
from tracker.registry.packs import repository as pack_rows


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label as it should be. `dated` is when its source said so."""

    chain: str
    address: str
    key: bytes
    name: str
    category: str
    tier: str
    entity_id: int | None = None
    vendor: bool = False
    source: str | None = None
    dated: datetime | None = None


@dataclass(frozen=True, slots=True)
class WalletRow:
    """A wallet as it should be."""

    entity_id: int
    chain: str
    address: str
    key: bytes
    role: str
    tier: str
    source: str | None = None
    note: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class ClosedAddress:
    """An address whose row was closed: a ground that may have carried a finding.

    `entity_id` is the holder that lost the wallet, or the entity that the label named.
    `wallet_id` is None for a label.
    """

    chain: str
    key: bytes
    address: str
    entity_id: int | None
    wallet_id: int | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """The labels and wallets that no longer stand, so that what rested on them can be withdrawn."""

    labels: tuple[ClosedAddress, ...] = ()
    wallets: tuple[ClosedAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What a replacement did. `closed` holds the addresses gone for good, not the changed ones."""

    opened: int = 0
    kept: int = 0
    closed: tuple[ClosedAddress, ...] = ()
    foreign: tuple[WalletRow, ...] = ()  # left out: another owner's wallet is at the address


_LABEL_FIELDS = tuple(LabelRow.__dataclass_fields__)
_WALLET_FIELDS = tuple(WalletRow.__dataclass_fields__)
_PLACE = (
    "tenure_id", "active_from_height", "opening_known", "opening_height", "opening_hash",
    "opening_time", "opening_note", "history_from", "descriptor_id", "branch", "child_index",
)  # fmt: skip


def replace_labels(
    session: Session, pack_id: int, desired: Iterable[LabelRow], now: datetime
) -> Changes:
    """Make `desired` the open labels of a pack; of several with one place and name the first."""
    wanted: dict[tuple[str, bytes, str, str], LabelRow] = {}
    for row in desired:
        wanted.setdefault((row.chain, row.key, row.category, row.name), row)
    current = {
        (label.chain, label.key, label.category, label.name): label
        for label in pack_rows.labels_of(session, pack_id)
    }
    same = {
        name for name, label in current.items()
        if name in wanted and _same(label, wanted[name], _LABEL_FIELDS)
    }  # fmt: skip
    gone = [label for name, label in current.items() if name not in same]
    pack_rows.close_labels(session, [label.id for label in gone if label.id is not None], now)
    new = [row for name, row in wanted.items() if name not in same]
    pack_rows.insert_labels(
        session,
        [
            {
                **_values(row, _LABEL_FIELDS),
                "pack_id": pack_id,
                "recorded_at": now,
                "closed_at": None,
            }
            for row in new
        ],
    )
    closed = tuple(
        ClosedAddress(label.chain, label.key, label.address, label.entity_id)
        for label in gone
        if (label.chain, label.key, label.category, label.name) not in wanted
        or wanted[label.chain, label.key, label.category, label.name].entity_id != label.entity_id
    )
    return Changes(opened=len(new), kept=len(same), closed=closed)


def replace_wallets(
    session: Session,
    current: Collection[Wallet],
    desired: Iterable[WalletRow],
    now: datetime,
    *,
    owner: str,
    pack_id: int | None = None,
) -> Changes:
    """Make `desired` the open wallets of the set that now holds `current`.

    An address at which a wallet outside the set is open is left to it (`foreign`). A wallet of the
    same entity whose description changed keeps its place in the scan. The watch set of a chain is
    bumped only if its wallets changed.
    """
    mine = {(wallet.chain, wallet.key): wallet for wallet in current}
    wanted: dict[tuple[str, bytes], WalletRow] = {}
    foreign: list[WalletRow] = []
    for row in _without_foreign(session, desired, mine, foreign):
        wanted.setdefault((row.chain, row.key), row)
    same = {
        place for place, wallet in mine.items()
        if place in wanted and _same(wallet, wanted[place], _WALLET_FIELDS)
    }  # fmt: skip
    gone = [wallet for place, wallet in mine.items() if place not in same]
    new = [row for place, row in wanted.items() if place not in same]
    # The bump comes first: it waits for a block that is being applied, so that the cursor read
    # next is the one from which the scan goes on with the new set.
    chains = sorted({wallet.chain for wallet in gone} | {row.chain for row in new})
    heights: dict[str, int | None] = {}
    for chain in chains:
        repository.bump_watch_set(session, chain)
        heights[chain] = repository.next_height(session, chain)
    # Only now nobody opens or backfills them any more: where they stand is read again.
    repository.read_again(session, gone)
    repository.close_wallets(session, [wallet.id for wallet in gone if wallet.id is not None], now)
    rows = []
    for row in new:
        before = mine.get((row.chain, row.key))
        stays = before if before is not None and before.entity_id == row.entity_id else None
        rows.append(
            {
                **_values(row, _WALLET_FIELDS),
                "owner": owner,
                "pack_id": pack_id,
                **_place(stays, heights[row.chain]),
                "recorded_at": now,
                "closed_at": None,
            }
        )
    inserted = repository.insert_wallets(session, rows)
    foreign += [row for row in new if (row.chain, row.key) not in inserted]
    closed = tuple(
        closed_wallet(wallet)
        for wallet in gone
        if (wallet.chain, wallet.key) not in wanted
        or wanted[wallet.chain, wallet.key].entity_id != wallet.entity_id
    )
    return Changes(len(inserted), len(same), closed, tuple(foreign))


def _place(before: Wallet | None, height: int | None) -> dict[str, Any]:
    """Where a wallet stands in the ledger: a new tenure, or that of the row which it replaces."""
    if before is None:
        return {**dict.fromkeys(_PLACE), "opening_known": False, "active_from_height": height}
    return {
        **{name: getattr(before, name) for name in _PLACE},
        "tenure_id": before.tenure_id or before.id,
    }


def closed_wallet(wallet: Wallet) -> ClosedAddress:
    """The wallet as an address that no longer stands."""
    return ClosedAddress(
        wallet.chain, wallet.key, wallet.address, wallet.entity_id, wallet_id=wallet.id
    )


def _without_foreign(
    session: Session,
    desired: Iterable[WalletRow],
    mine: Collection[tuple[str, bytes]],
    foreign: list[WalletRow],
) -> list[WalletRow]:
    """`desired` without the rows at which somebody else's wallet is open; those go to `foreign`."""
    rows = list(desired)
    taken: set[tuple[str, bytes]] = set()
    for chain in {row.chain for row in rows}:
        keys = [row.key for row in rows if row.chain == chain]
        taken |= {(chain, key) for key in repository.open_at(session, chain, keys)}
    taken -= set(mine)
    foreign += [row for row in rows if (row.chain, row.key) in taken]
    return [row for row in rows if (row.chain, row.key) not in taken]


def _values(row: LabelRow | WalletRow, fields: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in fields}


def _same(known: Label | Wallet, row: LabelRow | WalletRow, fields: tuple[str, ...]) -> bool:
    return all(getattr(known, name) == getattr(row, name) for name in fields)
