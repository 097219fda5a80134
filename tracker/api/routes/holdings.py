"""What one entity holds, moved, disclosed and owes: the routes below `/v1/entities/{slug}`."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from tracker.api.auth import READ
from tracker.api.context import Ctx
from tracker.api.paging import Cursor, Limit, Page, decode_moment, page_after
from tracker.api.parameters import KnownAt, Slug
from tracker.api.reads import chains, ledger
from tracker.api.reads.asked import moment
from tracker.api.reads.entities import show_holdings
from tracker.api.reads.facts import list_capital, list_disclosures
from tracker.api.reads.history import show_changes, show_history
from tracker.api.schemas.entities import CapitalItem, DisclosureItem
from tracker.api.schemas.holdings import Changes, History, Holdings, TransferItem
from tracker.registry import repository

router = APIRouter(prefix="/v1/entities/{slug}", tags=["holdings"], dependencies=[READ])


First = Annotated[date | None, Query(alias="from", description="The first UTC day, counted")]
Last = Annotated[date | None, Query(alias="to", description="The last UTC day, counted")]
AssetName = Annotated[str | None, Query(max_length=40, examples=["ETH"])]
Closed = Annotated[
    bool, Query(description="false: leave out wallets that are no longer believed to be its own")
]


@router.get("/holdings")
def holdings(
    context: Ctx,
    slug: Slug,
    at: Annotated[
        str | None,
        Query(
            max_length=40,
            description="A UTC time, a date (the end of that day), or a block: ethereum:18000000",
        ),
    ] = None,
    chain: Annotated[
        str | None, Query(max_length=20, description="The chain of a height that `at` is")
    ] = None,
    closed: Closed = True,
) -> Holdings:
    """On-chain and disclosed holdings side by side, now or at an earlier time or block."""
    with context.database.transaction(snapshot=True) as session:
        entity = repository.get_entity(session, slug)
        heads = chains.heads(session, context.now(), context.settings)
        asked = moment(session, heads, at, chain, entity.id)
        return show_holdings(session, entity, heads, at=asked, closed=closed)


@router.get("/holdings/history")
def holdings_history(
    context: Ctx,
    slug: Slug,
    asset: AssetName = None,
    start: First = None,
    end: Last = None,
    step: Literal["day"] = "day",
    closed: Closed = True,
) -> History:
    """What the wallets held of one asset at the end of each UTC day; 4000 days at most."""
    with context.database.transaction(snapshot=True) as session:
        entity = repository.get_entity(session, slug)
        heads = chains.heads(session, context.now(), context.settings)
        found = show_history(session, entity, heads, asset, start, end, closed=closed)
    return found.model_copy(update={"step": step})


@router.get("/changes")
def changes(
    context: Ctx,
    slug: Slug,
    asset: AssetName = None,
    start: First = None,
    end: Last = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Changes:
    """Every change of the shown holdings: coins moved, labels came or went, rates, measures."""
    with context.database.transaction(snapshot=True) as session:
        entity = repository.get_entity(session, slug)
        heads = chains.heads(session, context.now(), context.settings)
        return show_changes(
            session, entity, heads, asset, start, end, limit=limit, cursor=cursor
        )


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
            chains.heads(session, context.now(), context.settings),
            networks=chains.networks(context.settings),
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
