"""Whose a watched address is, as transfers and rules need to know it."""

from __future__ import annotations

from collections.abc import Collection

from sqlmodel import Session

from tracker.domain.entity import Kind
from tracker.domain.transfer import Owner
from tracker.registry import repository


def owners_for(session: Session, chain: str, keys: Collection[bytes]) -> dict[bytes, Owner]:
    """Those of `keys` that are watched wallets, each with its owner's kind and class."""
    wallets = repository.holders_for(session, chain, keys)
    entities = repository.entities_by_id(session, {w.entity_id for w in wallets.values()})
    return {
        key: Owner(
            wallet_id=wallet.wallet_id,
            entity_id=wallet.entity_id,
            entity_slug=wallet.entity_slug,
            entity_kind=Kind(entities[wallet.entity_id].kind),
            treasury_class=entities[wallet.entity_id].treasury_class,
            role=wallet.role,
            tier=wallet.tier,
        )
        for key, wallet in wallets.items()
    }
