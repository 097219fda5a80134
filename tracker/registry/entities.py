"""Entities that the operator adds, imports and switches on or off."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from sqlmodel import Session

from tracker.db.registry import Entity
from tracker.domain.entity import Kind, Role, role_of
from tracker.errors import ConflictError, InputError, TrackerError
from tracker.registry import repository
from tracker.registry.bundled import TREASURY_CLASSES
from tracker.registry.records import Columns, ImportReport, Record, Records, RowError, record

COLUMNS = Columns(
    required=("slug", "name", "kind"),
    optional=(
        "role", "treasury_class", "country", "ticker", "exchange_mic", "currency", "cik",
        "website", "enabled", "source", "note",
    ),
)  # fmt: skip

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_LONGEST_SLUG = 64
# Words that stand in an entity's place in the routes and commands.
_RESERVED_SLUGS = frozenset({"add", "import", "list", "show"})

_FORMS = {
    "country": (re.compile(r"[A-Z]{2}", re.ASCII), "two capitals, as US (ISO 3166-1)"),
    "ticker": (re.compile(r"[A-Z0-9][A-Z0-9.\-/^=]{0,15}", re.ASCII), "as MSTR or 3350.T"),
    "exchange_mic": (re.compile(r"[A-Z0-9]{4}", re.ASCII), "four characters, as XNAS (ISO 10383)"),
    "currency": (re.compile(r"[A-Z]{3}", re.ASCII), "three capitals, as USD (ISO 4217)"),
    "cik": (re.compile(r"[0-9]{1,10}", re.ASCII), "EDGAR's number of at most ten digits"),
    "website": (re.compile(r"https?://[^\s/@]+(/\S*)?", re.ASCII), "an https:// address"),
}


def add(session: Session, *, slug: str, name: str, kind: str, now: datetime, **more: Any) -> Entity:
    """Add an entity and return it; `more` are the optional `COLUMNS`.

    Raises `InputError` naming the field that is wrong, and `ConflictError` where the slug is taken.
    """
    unknown = set(more) - set(COLUMNS.optional)
    if unknown:
        raise TypeError(f"no such column of an entity: {', '.join(sorted(unknown))}")
    fields = _checked(record(slug=slug, name=name, kind=kind, **more))
    if not repository.insert_entities(session, [_row(fields, now)]):
        raise _taken(fields["slug"])
    return repository.get_entity(session, fields["slug"])


def import_rows(
    session: Session, records: Records, now: datetime, *, dry_run: bool = False
) -> ImportReport:
    """Add the entities of a file (`records.read(data, form, COLUMNS)`), row by row.

    A row that is wrong, or whose slug is taken, is reported and left out; one that says what is
    known already changes nothing. A dry run writes nothing.
    """
    rejected = list(records.errors)
    known = repository.entities_by_slug(
        session, {row.cells.get("slug", "") for row in records.rows}
    )
    fresh: dict[str, tuple[int, dict[str, Any]]] = {}
    unchanged = 0
    for row in records.rows:
        try:
            fields = _checked(row)
            slug = fields["slug"]
            if slug in fresh:
                raise ConflictError(
                    f"the slug stands in row {fresh[slug][0]} too",
                    field="slug",
                    value=slug,
                    mend="keep one of the rows",
                )
            if slug not in known:
                fresh[slug] = (row.row, fields)
            elif _says_the_same(row, fields, known[slug]):
                unchanged += 1
            else:
                raise _taken(slug)
        except TrackerError as error:
            rejected.append(RowError.of(row.row, error))
    added = set(fresh)
    if not dry_run:
        added = repository.insert_entities(
            session, [_row(fields, now) for _, fields in fresh.values()]
        )
        rejected += [
            RowError.of(number, _taken(slug))
            for slug, (number, _) in fresh.items()
            if slug not in added
        ]
    return ImportReport(len(added), _in_order(rejected), unchanged, dry_run)


def set_enabled(session: Session, slug: str, *, enabled: bool, now: datetime) -> Entity:
    """Switch an entity on or off: what is off is not watched, listed or judged.

    Nothing is lost: its rows stay. Blocks applied while it was off were not scanned for it, so its
    wallets start anew at the next block when it is on again. Raises `NotFoundError`.
    """
    entity = repository.get_entity(session, slug)
    if entity.enabled == enabled or entity.id is None:
        return entity
    entity.enabled = enabled
    repository.save_entity(session, entity)
    wallets = repository.wallets_of(session, entity.id)
    for chain in sorted({wallet.chain for wallet in wallets}):
        repository.bump_watch_set(session, chain)
        height = repository.next_height(session, chain)
        if enabled and height is not None:
            ids = [wallet.id for wallet in wallets if wallet.chain == chain and wallet.id]
            repository.restart_wallets(session, ids, now, height)
    return entity


def _checked(row: Record) -> dict[str, Any]:
    """The fields of an entity, each of its form. Raises `InputError`."""
    slug = row.text("slug")
    if not _SLUG.fullmatch(slug) or len(slug) > _LONGEST_SLUG or slug in _RESERVED_SLUGS:
        raise InputError(
            "not a slug that can be used",
            field="slug",
            value=slug,
            mend=f"small letters, digits and single hyphens, at most {_LONGEST_SLUG}; not one of "
            + ", ".join(sorted(_RESERVED_SLUGS)),
        )
    kind = row.member("kind", Kind)
    role = row.member("role", Role, role_of(kind))
    if role is not role_of(kind):
        raise InputError(
            f"the kind {kind} is a {role_of(kind)}",
            field="role",
            value=role,
            mend="leave the role empty; a firm that is both is two entities",
        )
    fields: dict[str, Any] = {
        "slug": slug,
        "name": row.text("name", longest=200),
        "kind": str(kind),
        "role": str(role),
        "treasury_class": None,
        "enabled": row.flag("enabled", default=True),
        "source": row.optional("source"),
        "note": row.optional("note"),
    }
    if row.optional("treasury_class") is not None:
        fields["treasury_class"] = row.choice("treasury_class", TREASURY_CLASSES)
        if kind is not Kind.DAT:
            raise InputError(
                "only a dat has a treasury class",
                field="treasury_class",
                value=fields["treasury_class"],
                mend="leave it empty",
            )
    for name, (form, example) in _FORMS.items():
        value = row.optional(name)
        if value is not None and not form.fullmatch(value):
            raise InputError(f"not a {name}", field=name, value=value, mend=f"give {example}")
        fields[name] = value.zfill(10) if value is not None and name == "cik" else value
    return fields


def _row(fields: dict[str, Any], now: datetime) -> dict[str, Any]:
    return {**fields, "owner": "operator", "rules": {}, "recorded_at": now}


def _says_the_same(row: Record, fields: dict[str, Any], known: Entity) -> bool:
    """Whether every cell that the row fills is what the entity has."""
    return all(
        getattr(known, name) == value for name, value in fields.items() if row.cells.get(name)
    )


def _taken(slug: str) -> ConflictError:
    return ConflictError(
        "an entity has this slug already",
        field="slug",
        value=slug,
        mend=f"see `tracker entities show {slug}`; choose another slug for another entity",
    )


def _in_order(rejected: list[RowError]) -> tuple[RowError, ...]:
    return tuple(sorted(rejected, key=lambda error: error.row))
