"""The wallets of a descriptor's window: those that it lacks, and the opening of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from tracker.chains.bitcoin.address import display
from tracker.chains.bitcoin.descriptor import Descriptor as Parsed
from tracker.db.registry import Descriptor, Wallet
from tracker.registry import repository
from tracker.registry.descriptor_sets import repository as rows
from tracker.registry.descriptor_sets.repository import Place

CHAIN = "bitcoin"


@dataclass(frozen=True, slots=True)
class Lack:
    """What a window lacks: addresses without a wallet, and wallets that can join as they are.

    `foreign` are wallets that stay what they are: somebody else's, or part of another descriptor.
    """

    fresh: Mapping[bytes, Place]
    joining: Mapping[int, Place]
    foreign: tuple[tuple[Wallet, Place], ...]

    def __bool__(self) -> bool:
        return bool(self.fresh or self.joining)


def lack_of(
    session: Session, row: Descriptor, parsed: Parsed, window: Collection[Place]
) -> Lack:
    """What `window` lacks now; a place that ever had a wallet lacks none."""
    had = rows.places_had(session, row.id or 0)
    places = {parsed.script(*place): place for place in window if place not in had}
    taken = repository.open_at(session, CHAIN, list(places)) if places else {}
    joining: dict[int, Place] = {}
    foreign = []
    for key, wallet in taken.items():
        free = wallet.entity_id == row.entity_id and wallet.descriptor_id is None
        if free and wallet.id is not None:
            joining[wallet.id] = places[key]
        else:
            foreign.append((wallet, places[key]))
    fresh = {key: place for key, place in places.items() if key not in taken}
    return Lack(fresh, joining, tuple(foreign))


def open_lacking(
    session: Session, row: Descriptor, parsed: Parsed, lack: Lack, now: datetime
) -> set[bytes]:
    """Open what a window lacks; returns the new keys. The caller bumped the watch set."""
    descriptor_id = row.id or 0
    for wallet_id, place in lack.joining.items():
        rows.link(session, wallet_id, descriptor_id, place)
    height = repository.next_height(session, CHAIN)
    source = f"{row.source} ({mark(row)})" if row.source else mark(row)
    inserted = repository.insert_wallets(
        session,
        [
            {
                "entity_id": row.entity_id,
                "chain": CHAIN,
                "address": display(key, parsed.network),
                "key": key,
                "role": row.role,
                "tier": row.tier,
                "source": source,
                "note": row.note,
                "owner": "operator",
                "descriptor_id": descriptor_id,
                "branch": branch,
                "child_index": index,
                "active_from_height": height,
                "opening_known": False,
                "recorded_at": now,
            }
            for key, (branch, index) in lack.fresh.items()
        ],
    )
    return {key for _, key in inserted}


def mark(row: Descriptor) -> str:
    """How a wallet's source says that it was made from this descriptor."""
    return f"descriptor {row.fingerprint}"
