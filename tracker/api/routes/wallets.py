"""Wallets: of one entity below `/v1/entities/{slug}`, of all below `/v1/wallets`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from tracker.api.auth import READ, WRITE
from tracker.api.context import Ctx
from tracker.api.paging import Cursor, Limit, Page, page_after
from tracker.api.parameters import DryRun, FileBody, Format, Slug
from tracker.api.reads.ids import stored_id
from tracker.api.reads.wallets import show_wallets
from tracker.api.schemas.common import ImportResult
from tracker.api.schemas.entities import NewWallet, WalletItem
from tracker.api.schemas.operations import WalletRemoval
from tracker.api.withdrawal import withdraw
from tracker.db.registry import Wallet
from tracker.db.session import Session
from tracker.doorbell import BACKFILL, PUBLISH
from tracker.registry import records, repository, wallets

router = APIRouter(prefix="/v1", tags=["wallets"])


@router.get("/entities/{slug}/wallets", dependencies=[READ])
def wallets_of_entity(
    context: Ctx,
    slug: Slug,
    closed: Annotated[bool, Query(description="Those that are no longer believed, too")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[WalletItem]:
    """The addresses of one entity: tier and source, balances, opening and last probe of each."""
    with context.database.transaction(snapshot=True) as session:
        entity = repository.get_entity(session, slug)
        rows = repository.wallets_of(session, stored_id(entity), include_closed=closed)
        return _page(session, rows, cursor, limit)


@router.get("/wallets", dependencies=[READ])
def list_wallets(context: Ctx, limit: Limit = 100, cursor: Cursor = None) -> Page[WalletItem]:
    """Every open wallet, oldest first."""
    with context.database.transaction(snapshot=True) as session:
        return _page(session, repository.open_wallets(session), cursor, limit)


@router.post("/entities/{slug}/wallets", dependencies=[WRITE], status_code=201)
def add_wallet(context: Ctx, slug: Slug, body: NewWallet) -> WalletItem:
    """Watch an address from the next block on.

    The reply says `bootstrapping`: what it holds is read from the chain at once, in the background.
    """
    with context.database.transaction() as session:
        wallet = wallets.add(
            session,
            entity=slug,
            now=context.now(),
            network=context.settings.bitcoin_network,
            **body.model_dump(),
        )
        made = show_wallets(session, [wallet])[0]
    context.services.doorbell.ring(BACKFILL)
    return made


@router.post("/wallets/import", dependencies=[WRITE])
def import_wallets(
    context: Ctx, content: FileBody, form: Format = "csv", dry_run: DryRun = False
) -> ImportResult:
    """Add the wallets of a CSV or JSON file sent as the body; bad rows are told one by one."""
    with context.database.transaction() as session:
        report = wallets.import_rows(
            session,
            records.read(content, form, wallets.COLUMNS),
            context.now(),
            network=context.settings.bitcoin_network,
            dry_run=dry_run,
        )
    if report.accepted and not dry_run:
        context.services.doorbell.ring(BACKFILL)
    return ImportResult.model_validate(report)


@router.delete("/wallets/{chain}/{address}", dependencies=[WRITE])
def remove_wallet(context: Ctx, chain: str, address: str) -> WalletRemoval:
    """Stop watching an address. What was seen stays; alerts that rested on it are judged anew."""
    with context.database.transaction() as session:
        removal = wallets.remove(
            session,
            chain=chain,
            address=address,
            now=context.now(),
            network=context.settings.bitcoin_network,
        )
        changed = withdraw(session, removal, context, why="the wallet was removed")
    context.services.doorbell.ring(PUBLISH)
    (closed,) = removal.wallets
    return WalletRemoval(chain=closed.chain, address=closed.address, alerts_changed=changed)


def _page(
    session: Session, rows: Sequence[Wallet], cursor: str | None, limit: int
) -> Page[WalletItem]:
    chosen = page_after(rows, [str(row.id) for row in rows], cursor, limit)
    return Page(items=show_wallets(session, chosen.items), next=chosen.next)
