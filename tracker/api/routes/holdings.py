"""What one entity holds, moved, disclosed and owes: the routes below `/v1/entities/{slug}`."""

from __future__ import annotations

from fastapi import APIRouter

from tracker.api.auth import READ
from tracker.api.context import Ctx
from tracker.api.paging import Cursor, Limit, Page, decode_moment, page_after
from tracker.api.parameters import At, KnownAt, Slug
from tracker.api.reads import chains, ledger
from tracker.api.reads.entities import show_holdings
from tracker.api.reads.facts import list_capital, list_disclosures
from tracker.api.schemas.entities import CapitalItem, DisclosureItem
from tracker.api.schemas.holdings import Holdings, TransferItem
from tracker.registry import repository

router = APIRouter(prefix="/v1/entities/{slug}", tags=["holdings"], dependencies=[READ])


@router.get("/holdings")
def holdings(context: Ctx, slug: Slug, at: At) -> Holdings:
    """On-chain and disclosed holdings side by side, now or at an earlier time."""
    with context.database.transaction(snapshot=True) as session:
        entity = repository.get_entity(session, slug)
        return show_holdings(session, entity, now=context.now(), at=at)


@router.get("/transfers")
def transfers(
    context: Ctx, slug: Slug, limit: Limit = 100, cursor: Cursor = None
) -> Page[TransferItem]:
    """Transfers of an entity, newest first, with what each is believed to be."""
    with context.database.transaction(snapshot=True) as session:
        entity = repository.get_entity(session, slug)
        return ledger.transfers(
            session,
            entity,
            chains.heads(session, context.now()),
            network=context.settings.bitcoin_network,
            before=decode_moment(cursor),
            limit=limit,
        )


@router.get("/disclosures")
def disclosures(
    context: Ctx, slug: Slug, known_at: KnownAt, limit: Limit = 100, cursor: Cursor = None
) -> Page[DisclosureItem]:
    """What the entity reported, newest first; with `known_at`, as it was believed then."""
    with context.database.transaction(snapshot=True) as session:
        entity = repository.get_entity(session, slug)
        found = list_disclosures(session, entity, known_at)
    return page_after([item for _, item in found], [str(key) for key, _ in found], cursor, limit)


@router.get("/capital")
def capital(
    context: Ctx, slug: Slug, known_at: KnownAt, limit: Limit = 100, cursor: Cursor = None
) -> Page[CapitalItem]:
    """The capital structure by field and date, newest first."""
    with context.database.transaction(snapshot=True) as session:
        entity = repository.get_entity(session, slug)
        found = list_capital(session, entity, known_at)
    return page_after([item for _, item in found], [str(key) for key, _ in found], cursor, limit)
