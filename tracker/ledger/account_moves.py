"""Movements of an account chain, with their owners, as the ledger writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from tracker.domain.account import AccountMove
from tracker.ledger.effects import LedgerMovement


class Counted(Protocol):
    """Under which wallet an address counts, and whose it is."""

    @property
    def wallet_id(self) -> int:
        """Its tenure."""

    @property
    def entity_id(self) -> int:
        """Its holder."""


def owned_moves(
    moves: Iterable[AccountMove], owners: Mapping[bytes, Counted]
) -> tuple[LedgerMovement, ...]:
    """Those of `moves` whose address is owned, in order."""
    return tuple(
        LedgerMovement(
            tx=move.tx,
            ref=move.ref,
            key=move.key,
            asset=move.asset,
            kind=str(move.kind),
            amount=move.amount,
            entity_id=owners[move.key].entity_id,
            wallet_id=owners[move.key].wallet_id,
            bucket=str(move.bucket),
        )
        for move in moves
        if move.key in owners
    )
