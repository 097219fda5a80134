"""Tenures: from when to when an entity's wallets count, and which of them can be counted at all.

A wallet counts from its opening until it is closed. Before its opening nothing true can be said of
it; one whose opening no source can tell counts from the first block that was scanned with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tracker.db.registry import Wallet

WalletState = Literal["open", "bootstrapping", "counted_from", "closed"]


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant, or the state after the block at `height` of `chain`, whose time `at` then is."""

    at: datetime
    chain: str | None = None
    height: int | None = None
    block_hash: bytes | None = None

    def height_on(self, chain: str) -> int | None:
        """The height that this moment is on `chain`; None where it is a time there."""
        return self.height if chain == self.chain else None


@dataclass(frozen=True, slots=True)
class Tenure:
    """One wallet's place in the ledger (`Wallet.tenure_id`).

    `since` is the time from which its balance can be told, None while that cannot be said.
    `height` and `block_hash` are its opening's, None where it has none. `first_height` is the first
    block that was scanned with it.
    """

    id: int
    chain: str
    state: WalletState
    since: datetime | None
    height: int | None
    block_hash: bytes | None
    first_height: int | None
    closed_at: datetime | None

    @property
    def exact(self) -> bool:
        """Whether what it held before it was watched is counted."""
        return self.height is not None

    def known_at(self, moment: Moment) -> bool:
        """Whether its balance at `moment` can be told."""
        height = moment.height_on(self.chain)
        if height is not None and self.height is not None:
            return self.height <= height
        return self.since is not None and self.since <= moment.at

    def counts_at(self, moment: Moment) -> bool:
        """Whether it is part of what is shown for `moment`: known by then, not closed by then."""
        return self.known_at(moment) and (self.closed_at is None or self.closed_at > moment.at)


def state_of(wallet: Wallet) -> WalletState:
    """What can be said of a wallet's balance now."""
    if wallet.closed_at is not None:
        return "closed"
    if wallet.opening_known:
        return "open"
    return "bootstrapping" if wallet.opening_note is None else "counted_from"


def tenures(
    wallets: Iterable[Wallet], first_times: Mapping[tuple[str, int | None], datetime]
) -> list[Tenure]:
    """The tenures that rows of `wallets`, open and closed, stand for, oldest first.

    `first_times` tells the time of the first block scanned by (chain, `active_from_height`); one
    without is not scanned yet.
    """
    newest: dict[int, Wallet] = {}
    for wallet in wallets:
        found = wallet.tenure_id or wallet.id or 0
        known = newest.get(found)
        if known is None or _later(wallet, known):
            newest[found] = wallet
    return [
        Tenure(
            id=found,
            chain=wallet.chain,
            state=state_of(wallet),
            since=_since(wallet, first_times),
            height=wallet.opening_height if wallet.opening_known else None,
            block_hash=wallet.opening_hash if wallet.opening_known else None,
            first_height=wallet.active_from_height,
            closed_at=wallet.closed_at,
        )
        for found, wallet in sorted(newest.items())
    ]


def without_opening(wallets: Iterable[Wallet]) -> set[tuple[str, int | None]]:
    """(chain, first height) of the wallets that are counted from their first scanned block."""
    return {
        (wallet.chain, wallet.active_from_height)
        for wallet in wallets
        if not wallet.opening_known and wallet.opening_note is not None
    }


def _since(
    wallet: Wallet, first_times: Mapping[tuple[str, int | None], datetime]
) -> datetime | None:
    if wallet.opening_known:
        return wallet.opening_time
    if wallet.opening_note is None:
        return None
    return first_times.get((wallet.chain, wallet.active_from_height))


def _later(wallet: Wallet, known: Wallet) -> bool:
    if wallet.closed_at is None or known.closed_at is None:
        return wallet.closed_at is None
    return wallet.closed_at > known.closed_at
