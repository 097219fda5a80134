"""`/v1/chains`: where the scan of each chain stands, and letting a halted one go on."""

from __future__ import annotations

from fastapi import APIRouter

from tracker.api.auth import READ, WRITE
from tracker.api.context import Ctx
from tracker.api.paging import Page
from tracker.api.reads import chains
from tracker.api.schemas.common import Chain
from tracker.log import get_logger

router = APIRouter(prefix="/v1/chains", tags=["chains"])

log = get_logger(__name__)


@router.get("", dependencies=[READ])
def list_chains(context: Ctx) -> Page[Chain]:
    """Every chain with its newest block, its lag and its state."""
    with context.database.transaction(snapshot=True) as session:
        heads = chains.heads(session, context.now(), context.settings)
    return Page(items=heads.views(), next=None)


@router.post("/{chain}/resume", dependencies=[WRITE])
def resume(context: Ctx, chain: str) -> Chain:
    """Let a halted chain go on, once a person has checked its sources; 409 where it is not."""
    with context.database.transaction() as session:
        why = chains.resume(session, chain)
        heads = chains.heads(session, context.now(), context.settings)
    view = next(view for view in heads.views() if view.chain == chain)
    log.warning("chain_resumed", chain=chain, height=view.height, halted=why)
    context.services.doorbell.ring(f"scan.{chain}")
    return view
