"""Movements of an account chain, with their owners, as the ledger writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tracker.domain.account import AccountMove
from tracker.domain.transfer import Owner
from tracker.ledger.effects import LedgerMovement


def owned_moves(
    moves: Iterable[AccountMove], owners: Mapping[bytes, Owner]
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
