"""The pages: entities and alerts in one look, then one page for each."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined

from tracker import __version__
from tracker.api import problems
from tracker.api.auth import READ
from tracker.api.context import Ctx
from tracker.api.paging import decode_moment, encode_moment
from tracker.api.parameters import Slug
from tracker.api.reads import chains, ledger
from tracker.api.reads.alerts import show_alert, show_alerts
from tracker.api.reads.entities import Filter, list_entities, show_entity, show_holdings
from tracker.api.reads.facts import list_disclosures
from tracker.api.reads.ids import stored_id
from tracker.api.reads.wallets import show_wallets
from tracker.api.schemas.common import Source
from tracker.api.schemas.valuation import Valuation
from tracker.dashboard.words import FILTERS, OBSERVABILITY
from tracker.detection import repository as detection
from tracker.domain.entity import Kind, Observability, Role
from tracker.domain.valuation import DEFINITIONS
from tracker.errors import TrackerError
from tracker.operations import repository as operations
from tracker.reconciliation.asked import repository as asked
from tracker.registry import repository as registry
from tracker.valuation import contract, service

_ENTITIES = 100
_ALERTS = 6
_ROWS = 25

_templates = Environment(
    loader=PackageLoader("tracker.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters.update(FILTERS)
_templates.globals.update(version=__version__, kinds=list(Kind), seen=OBSERVABILITY)


class PageRoute(APIRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with errors drawn for people."""
        handle = super().get_route_handler()

        async def drawn(request: Request) -> Response:
            try:
                return await handle(request)
            except TrackerError as error:
                return _error_page(error, problems.headers_of(error))
            except RequestValidationError as error:
                return _error_page(problems.from_validation(error), {})

        return drawn


router = APIRouter(route_class=PageRoute, dependencies=[READ], include_in_schema=False)


@router.get("/")
def index(
    context: Ctx,
    q: Annotated[str, Query(max_length=100)] = "",
    kind: Annotated[Kind | Literal[""], Query()] = "",
    role: Annotated[Role | Literal["all"], Query()] = Role.HOLDER,
    observability: Annotated[Observability | Literal[""], Query()] = "",
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> HTMLResponse:
    """Entities, alerts, and the state of chains and sources."""
    chosen = Filter(
        kind=kind or None,
        role=None if role == "all" else role,
        text=q,
        observability=observability or None,
    )
    now = context.now()
    with context.database.transaction(snapshot=True) as session:
        heads = chains.heads(session, now, context.settings)
        listing = list_entities(session, chosen, heads, limit=_ENTITIES, cursor=cursor)
        rows = detection.list_alerts(session, limit=_ALERTS + 1)
        alerts = show_alerts(session, rows[:_ALERTS])
        open_discrepancies = asked.count_open(session)
        sources = [Source.model_validate(row) for row in operations.list_sources(session)]
    return _page(
        "index.html",
        page=listing.page,
        total=listing.total,
        alerts=alerts,
        more_alerts=len(rows) > _ALERTS,
        chains=heads.views(),
        open_discrepancies=open_discrepancies,
        sources=sources,
        sources_ok=sum(source.state == "ok" for source in sources),
        cursor=cursor,
        asked={"q": q, "kind": kind, "role": str(role), "observability": observability},
    )


@router.get("/alerts")
def alerts(
    context: Ctx, cursor: Annotated[str | None, Query(max_length=400)] = None
) -> HTMLResponse:
    """Every alert, the newest opened first."""
    with context.database.transaction(snapshot=True) as session:
        rows = detection.list_alerts(session, before=decode_moment(cursor), limit=_ROWS + 1)
        shown = rows[:_ROWS]
        items = show_alerts(session, shown)
    more = encode_moment(shown[-1].opened_at, shown[-1].id) if len(rows) > _ROWS else None
    return _page("alerts.html", alerts=items, next=more)


@router.get("/alerts/{alert_id}")
def alert(context: Ctx, alert_id: str) -> HTMLResponse:
    """One alert: evidence, ground, revisions. The permalink that webhooks carry."""
    with context.database.transaction(snapshot=True) as session:
        return _page("alert.html", alert=show_alert(session, alert_id))


@router.get("/entities/{slug}")
def entity(context: Ctx, slug: Slug) -> HTMLResponse:
    """One entity: holdings, every mNAV with its inputs, transfers, disclosures, wallets."""
    now = context.now()
    with context.database.transaction(snapshot=True) as session:
        row = registry.get_entity(session, slug)
        heads = chains.heads(session, now, context.settings)
        rows = detection.list_alerts(session, entity_id=stored_id(row), limit=_ROWS)
        valuation = contract.as_contract(service.mnav(session, row, at=now))
        disclosures = list_disclosures(session, row, None)
        wallets = registry.wallets_of(session, stored_id(row))
        return _page(
            "entity.html",
            entity=show_entity(session, row, heads),
            holdings=show_holdings(session, row, heads),
            valuation=Valuation.model_validate(valuation),
            definitions={each.id: each for each in DEFINITIONS},
            transfers=ledger.transfers(
                session,
                row,
                heads,
                networks=chains.networks(context.settings),
                before=None,
                limit=_ROWS,
            ),
            disclosures=[item for _, item in disclosures[:_ROWS]],
            disclosure_count=len(disclosures),
            wallets=show_wallets(session, wallets[:_ROWS]),
            wallet_count=len(wallets),
            open_discrepancies=asked.count_open(session, stored_id(row)),
            alerts=show_alerts(session, rows),
        )


def _page(name: str, **given: Any) -> HTMLResponse:
    return HTMLResponse(_templates.get_template(name).render(**given))


def _error_page(error: TrackerError, headers: dict[str, str]) -> HTMLResponse:
    body = _templates.get_template("error.html").render(error=error)
    return HTMLResponse(body, status_code=error.status, headers=headers)
