"""Transfers of an entity as the API shows them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from tracker.api.paging import Page, encode_moment
from tracker.api.reads.chains import Heads, hash_text
from tracker.api.reads.ids import stored_id
from tracker.api.schemas.holdings import Counterparty, TransferItem
from tracker.db.chain import Transfer
from tracker.db.registry import Entity
from tracker.db.session import Session
from tracker.domain.explorer import tx_url
from tracker.domain.units import quantity_text
from tracker.ledger.holdings import repository as ledger


def transfers(
    session: Session,
    entity: Entity,
    heads: Heads,
    *,
    networks: Mapping[str, str],
    before: tuple[datetime, str] | None,
    limit: int,
) -> Page[TransferItem]:
    """A page of an entity's canonical transfers, newest first; `networks` by chain."""
    rows = ledger.transfers_of(session, stored_id(entity), before=before, limit=limit + 1)
    shown = rows[:limit]
    return Page(
        items=[_item(row, heads, networks[row.chain]) for row in shown],
        next=encode_moment(shown[-1].time, shown[-1].id) if len(rows) > limit else None,
    )


def _item(row: Transfer, heads: Heads, network: str) -> TransferItem:
    return TransferItem(
        id=row.id,
        chain=row.chain,
        tx=hash_text(row.chain, row.tx),
        height=row.height,
        hash=hash_text(row.chain, row.block_hash),
        time=row.time,
        finality=heads.finality_at(row.chain, row.height),
        asset=row.asset,
        gross_in=str(row.gross_in),
        gross_out=str(row.gross_out),
        fee=str(row.fee),
        net=str(row.net),
        quantity=quantity_text(row.net, row.asset),
        counterparties=[
            Counterparty(**{name: party.get(name) for name in Counterparty.model_fields})
            for party in row.counterparties
        ],
        intent=row.intent,
        probability=format(row.probability, "f"),
        evidence=row.evidence,
        value_usd=None if row.value_usd is None else format(row.value_usd, "f"),
        value_reason="no price of that time is known" if row.value_usd is None else None,
        explorer_url=tx_url(row.chain, network, row.tx),
    )
