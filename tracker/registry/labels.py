"""Label packs: imported, exported and removed as one. docs/labels.md describes the formats."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session

from tracker.chains import address as addresses
from tracker.db.registry import Entity, Label, LabelPack, Wallet
from tracker.domain.entity import Category, Role, Tier
from tracker.errors import ConflictError, InputError, NotFoundError, TrackerError
from tracker.registry import repository, sync, tagpack, wallets
from tracker.registry.packs import repository as pack_rows
from tracker.registry.packs.info import PackInfo, checked_name, save_pack
from tracker.registry.records import Columns, ImportReport, Record, RowError, read_csv
from tracker.registry.replacement import (
    LabelRow,
    Removal,
    WalletRow,
    closed_wallet,
    replace_labels,
    replace_wallets,
)

FORMATS = ("csv", "tagpack")

COLUMNS = Columns(
    required=("chain", "address", "name"),
    optional=("category", "tier", "source", "entity", "role", "date", "vendor"),
)

# Clocks differ, and so do time zones: a date up to a day ahead is no mistake.
_AHEAD = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PackReport(ImportReport):
    """How a pack's import went; `removal` is what only an earlier version of the pack held."""

    pack: str = ""
    removal: Removal = field(default_factory=Removal)


def import_pack(
    session: Session,
    data: bytes,
    form: str,
    now: datetime,
    *,
    network: str = "mainnet",
    name: str | None = None,
    licence: str | None = None,
    redistributable: bool | None = None,
    dry_run: bool = False,
) -> PackReport:
    """Import a pack in `form` `csv` or `tagpack`; one of the same name is replaced by it.

    `name`, `licence` and `redistributable` win over what the file says of itself. A row that is
    wrong is reported and left out, and the rest go on. Raises `InputError` when the file cannot be
    read, and `ConflictError` where the name is taken by another creator's pack.
    """
    if form not in FORMATS:
        raise InputError("unknown format", field="format", value=form, mend="use csv or tagpack")
    records = tagpack.read(data) if form == "tagpack" else read_csv(data, COLUMNS)
    info = _info(records.header, name, licence, redistributable)
    repository.lock_sync(session)
    rejected = list(records.errors)
    plain = tuple(row for row in records.rows if not row.cells.get("role"))
    held = tuple(row for row in records.rows if row.cells.get("role"))
    labels = _checked_labels(session, plain, rejected, network, now)
    owned, numbers = wallets.checked_rows(session, held, rejected, network)
    if dry_run or not (labels or owned):
        # A file without one good row is a mistake: it must not empty the pack it replaces.
        found = len(labels) + len(owned)
        return PackReport(found, _in_order(rejected), dry_run=dry_run, pack=info.name)
    pack_id = save_pack(session, info, now)
    current = repository.open_wallets(session, pack_id=pack_id)
    holdings = replace_wallets(session, current, owned, now, owner="pack", pack_id=pack_id)
    rejected += [_foreign(session, row, numbers[row.chain, row.key]) for row in holdings.foreign]
    names = replace_labels(session, pack_id, labels, now)
    return PackReport(
        accepted=holdings.opened + names.opened,
        rejected=_in_order(rejected),
        unchanged=holdings.kept + names.kept,
        pack=info.name,
        removal=Removal(names.closed, holdings.closed),
    )


def export_pack(session: Session, name: str, *, even_if_restricted: bool = False) -> bytes:
    """The open rows of a pack as the CSV that `import_pack` reads, with its description above.

    Raises `NotFoundError`, and `ConflictError` for a pack that may not be handed on.
    """
    pack, labels, holdings = _contents(session, name)
    if not pack.redistributable and not even_if_restricted:
        raise ConflictError(
            f"the pack may not be handed on (licence: {pack.licence or 'unknown'})",
            field="pack",
            value=name,
            mend="export it with --even-if-restricted for your own use",
        )
    ids = {label.entity_id for label in labels} | {wallet.entity_id for wallet in holdings}
    entities = repository.entities_by_id(session, {each for each in ids if each is not None})
    out = io.StringIO(newline="")
    for key, value in _description(pack).items():
        out.write(f"# {key}: {' '.join(value.split())}\n")
    writer = csv.DictWriter(out, COLUMNS.all, lineterminator="\n", restval="")
    writer.writeheader()
    for label in labels:
        entity = entities.get(label.entity_id) if label.entity_id is not None else None
        writer.writerow(_label_cells(label, entity))
    for wallet in holdings:
        writer.writerow(_wallet_cells(wallet, entities[wallet.entity_id]))
    return out.getvalue().encode()


def remove_pack(session: Session, name: str, now: datetime) -> Removal:
    """Close a pack's labels and wallets and return them, so that their findings can be withdrawn.

    Raises `NotFoundError`, and `ConflictError` for the bundled pack.
    """
    if name == sync.PACK.name:
        raise ConflictError(
            "the bundled pack comes back with every synchronisation",
            field="pack",
            value=name,
            mend="import a pack with better tiers over it, or remove single wallets",
        )
    repository.lock_sync(session)
    pack, _, holdings = _contents(session, name)
    if pack.id is None:
        raise AssertionError("a stored pack has an id")
    replace_wallets(session, holdings, [], now, owner="pack", pack_id=pack.id)
    names = replace_labels(session, pack.id, [], now)
    return Removal(names.closed, tuple(closed_wallet(wallet) for wallet in holdings))


def _info(
    header: Mapping[str, str], name: str | None, licence: str | None, redistributable: bool | None
) -> PackInfo:
    """What the pack is, from the arguments and from what the file says. Raises `InputError`."""
    said = Record(0, header)
    called = name or said.optional("pack") or ""
    if called == sync.PACK.name:
        raise ConflictError(
            "this name is that of the bundled pack", field="pack", value=called,
            mend="give another name",
        )  # fmt: skip
    if redistributable is None:
        redistributable = said.flag("redistributable", default=False)
    return PackInfo(
        name=checked_name(called),
        title=said.optional("title", longest=200) or called,
        creator=said.optional("creator", longest=200),
        licence=licence or said.optional("licence", longest=200),
        redistributable=redistributable,
        source=said.optional("source"),
    )


def _checked_labels(
    session: Session,
    rows: tuple[Record, ...],
    rejected: list[RowError],
    network: str,
    now: datetime,
) -> list[LabelRow]:
    """The labels that `rows` describe; a row that is wrong is put among the `rejected`."""
    slugs = {row.cells.get(name, "") for row in rows for name in ("entity", "actor")}
    entities = repository.entities_by_slug(session, slugs)
    seen: dict[tuple[str, bytes, str, str], int] = {}
    labels: list[LabelRow] = []
    for row in rows:
        try:
            label = _checked_label(row, entities, network, now)
            first = seen.setdefault((label.chain, label.key, label.category, label.name), row.row)
            if first != row.row:
                raise ConflictError(
                    f"the label stands in row {first} too",
                    field="address",
                    value=label.address,
                    mend="keep one of the rows",
                )
            labels.append(label)
        except TrackerError as error:
            rejected.append(RowError.of(row.row, error))
    return labels


def _checked_label(
    row: Record, entities: Mapping[str, Entity], network: str, now: datetime
) -> LabelRow:
    parsed = addresses.parse(row.text("chain"), row.text("address"), network)
    slug = row.optional("entity")
    entity = entities.get(slug) if slug is not None else None
    if slug is not None and entity is None:
        raise NotFoundError(
            "no such entity",
            field="entity",
            value=slug,
            mend="leave it empty, or add the entity first",
        )
    actor = entities.get(row.optional("actor") or "")
    if actor is not None and actor.role == Role.VENUE:
        # An actor's name may be that of a listed firm too; only a venue can be meant by a label.
        entity = actor
    dated = row.instant("date")
    if dated is not None and dated > now + _AHEAD:
        raise InputError(
            "a date in the future",
            field="date",
            value=dated.date(),
            mend="give the day on which the source said so",
        )
    tier = row.member("tier", Tier, Tier.USER)
    return LabelRow(
        chain=parsed.chain,
        address=parsed.address,
        key=parsed.key,
        name=row.text("name", longest=200),
        category=str(row.member("category", Category, Category.OTHER)),
        tier=str(tier),
        entity_id=entity.id if entity is not None else None,
        vendor=row.flag("vendor", default=tier is Tier.VENDOR),
        source=row.optional("source"),
        dated=dated,
    )


def _contents(session: Session, name: str) -> tuple[LabelPack, list[Label], list[Wallet]]:
    pack = pack_rows.find_pack(session, name)
    if pack is not None and pack.id is not None:
        labels = pack_rows.labels_of(session, pack.id)
        holdings = repository.open_wallets(session, pack_id=pack.id)
        if labels or holdings:
            return pack, labels, holdings
    known = ", ".join(each.pack.name for each in pack_rows.list_packs(session))
    raise NotFoundError(
        "no such pack", field="pack", value=name, mend=f"the packs are: {known or 'none'}"
    )


def _description(pack: LabelPack) -> dict[str, str]:
    said = {
        "pack": pack.name,
        "title": pack.title,
        "creator": pack.creator,
        "licence": pack.licence,
        "redistributable": "true" if pack.redistributable else "false",
        "source": pack.source,
    }
    return {key: value for key, value in said.items() if value}


def _label_cells(label: Label, entity: Entity | None) -> dict[str, str]:
    return {
        "chain": label.chain,
        "address": label.address,
        "name": label.name,
        "category": label.category,
        "tier": label.tier,
        "source": label.source or "",
        "entity": entity.slug if entity is not None else "",
        "date": label.dated.isoformat() if label.dated is not None else "",
        "vendor": "true" if label.vendor else "false",
    }


def _wallet_cells(wallet: Wallet, entity: Entity) -> dict[str, str]:
    return {
        "chain": wallet.chain,
        "address": wallet.address,
        "name": entity.name,
        "tier": wallet.tier,
        "source": wallet.source or "",
        "entity": entity.slug,
        "role": wallet.role,
    }


def _foreign(session: Session, row: WalletRow, number: int) -> RowError:
    wallet = repository.open_at(session, row.chain, [row.key])[row.key]
    owner = repository.entities_by_id(session, [wallet.entity_id])[wallet.entity_id]
    error = ConflictError(
        f"the address is a wallet of {owner.slug}, from another source than this pack",
        field="address",
        value=row.address,
        mend="remove that wallet first (`tracker wallets remove`), if it is wrong",
    )
    return RowError.of(number, error)


def _in_order(rejected: list[RowError]) -> tuple[RowError, ...]:
    return tuple(sorted(rejected, key=lambda error: error.row))
