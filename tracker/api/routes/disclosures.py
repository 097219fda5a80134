"""Writing disclosures: a figure that the operator read in a document, with that document."""

from __future__ import annotations

from fastapi import APIRouter

from tracker.api.auth import WRITE
from tracker.api.context import Ctx
from tracker.api.parameters import FileBody, Format, Slug
from tracker.api.reads.facts import disclosure_item
from tracker.api.reads.ids import stored_id
from tracker.api.schemas.common import ImportResult, RowProblem
from tracker.api.schemas.entities import DisclosureItem, NewDisclosure
from tracker.db.registry import Entity
from tracker.db.session import Session
from tracker.domain.entity import Role
from tracker.doorbell import DETECT
from tracker.errors import ConflictError, InputError
from tracker.facts import disclosures
from tracker.registry import records, repository

router = APIRouter(
    prefix="/v1/entities/{slug}/disclosures", tags=["holdings"], dependencies=[WRITE]
)

_REQUIRED = ("as_of", "asset", "kind", "source")
_COLUMNS = records.Columns(
    _REQUIRED, tuple(name for name in disclosures.COLUMNS if name not in _REQUIRED)
)


@router.post("", status_code=201)
def add(context: Ctx, slug: Slug, body: NewDisclosure) -> DisclosureItem:
    """Add what the entity said; rules look at it at once. The same one twice is stored once."""
    new = disclosures.from_row(body.model_dump(exclude_none=True))
    with context.database.transaction() as session:
        holder = _holder(session, slug)
        row = disclosures.add(session, stored_id(holder), new, now=context.now())
        shown = disclosure_item(row)
    context.services.doorbell.ring(DETECT)
    return shown


@router.post("/import")
def import_file(context: Ctx, slug: Slug, content: FileBody, form: Format = "csv") -> ImportResult:
    """Add those of a CSV or JSON file sent as the body; bad rows are told one by one."""
    found = records.read(content, form, _COLUMNS)
    rejected = list(found.errors)
    accepted = unchanged = 0
    now = context.now()
    with context.database.transaction() as session:
        key = stored_id(_holder(session, slug))
        for row in found.rows:
            try:
                cells = {name: row.optional(name) or "" for name in row.cells}
                stored = disclosures.add(session, key, disclosures.from_row(cells), now=now)
            except (InputError, ConflictError) as error:
                rejected.append(records.RowError.of(row.row, error))
                continue
            accepted += stored.recorded_at == now
            unchanged += stored.recorded_at != now
    context.services.doorbell.ring(DETECT)
    return ImportResult(
        accepted=accepted,
        unchanged=unchanged,
        rejected=[
            RowProblem.model_validate(error) for error in sorted(rejected, key=lambda e: e.row)
        ],
        dry_run=False,
    )


def _holder(session: Session, slug: str) -> Entity:
    """The entity that may disclose. Raises `NotFoundError`, or `InputError` for a venue."""
    entity = repository.get_entity(session, slug)
    if entity.role != Role.HOLDER:
        raise InputError(
            "a venue discloses nothing here: it holds its customers' coins",
            field="entity",
            value=slug,
            mend="name a holder; a venue's own treasury is an entity of its own",
        )
    return entity
