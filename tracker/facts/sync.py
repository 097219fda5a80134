"""Bring the bundled facts into the tables.

The same bundle a second time writes nothing. A row that changed in the bundle is closed and stored
anew, one that left it is closed; rows of an operator are never touched, and where one has the same
key as a bundled row, the operator's stands.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sqlmodel import Session

from tracker.db.facts import Capital, CorporateAction, Disclosure
from tracker.domain.units import to_base_units
from tracker.errors import InputError
from tracker.facts import bundled, repository
from tracker.facts.prices import repository as prices
from tracker.registry.repository import entities_by_slug, lock_sync

OWNER = "bundled"

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did, in rows. `unknown_entities` are slugs of facts that the registry lacks."""

    added: int
    closed: int
    unchanged: int
    unknown_entities: tuple[str, ...] = ()


@dataclass(slots=True)
class _Tally:
    added: int = 0
    closed: int = 0
    unchanged: int = 0


@lru_cache(maxsize=10_000)
def end_of_day(day: date) -> datetime:
    """The instant at which a daily close is taken to be known: 23:59:59 UTC of its day.

    A share's close is earlier than that everywhere, so nothing is known before it was.
    """
    return datetime.combine(day, time(23, 59, 59), UTC)


def sync_facts(session: Session, *, now: datetime) -> SyncReport:
    """Store the bundled facts and return what changed.

    Run it after the registry's sync: facts of an entity that is not there are left out and named
    in the report. Raises `InputError` naming file, row and field where the bundle cannot be read.
    """
    lock_sync(session)
    ids = {
        slug: entity.id
        for slug, entity in entities_by_slug(session).items()
        if entity.id is not None
    }
    unknown: set[str] = set()
    tally = _Tally()
    for table, key, rows in (
        (Disclosure, _DISCLOSURE_KEY, map(_disclosure, bundled.disclosures())),
        (Capital, _CAPITAL_KEY, map(_capital, bundled.capital())),
    ):
        wanted = _keyed(rows, key, ids, unknown)
        _sync_table(session, table, key, wanted, now, tally)
    _sync_actions(session, ids, unknown, now, tally)
    _sync_prices(session, "close", map(_close, bundled.closes()), now, tally)
    _sync_prices(session, "fx", map(_fx, bundled.fx_rates()), now, tally)
    return SyncReport(tally.added, tally.closed, tally.unchanged, tuple(sorted(unknown)))


_DISCLOSURE_KEY = ("entity_id", "as_of", "asset", "kind", "measure", "source")
_CAPITAL_KEY = ("entity_id", "as_of", "field", "source")
_ACTION_KEY = ("entity_id", "effective", "kind")


def _disclosure(row: bundled.BundledDisclosure) -> Record:
    return {
        "entity": row.entity,
        "as_of": row.as_of,
        "asset": row.asset,
        "kind": row.kind,
        "amount": None if row.quantity is None else to_base_units(row.quantity, row.asset),
        "measure": row.measure,
        "period_start": row.period_start,
        "period_end": row.period_end,
        "cost": _money(row.cost_usd),
        "average_price": _money(row.average_price_usd),
        "currency": "USD",
        "evidence": row.evidence,
        "form": row.form,
        "source": row.source,
        "note": row.note,
        "published_at": row.published_at,
    }


def _capital(row: bundled.BundledCapital) -> Record:
    return {
        "entity": row.entity,
        "as_of": row.as_of,
        "field": row.field,
        "value": row.value.quantize(Decimal("0.0001")),
        "currency": row.currency,
        "basis_date": row.basis_date,
        "complete": row.complete,
        "source": row.source,
        "note": row.note,
    }


def _close(row: bundled.BundledClose) -> Record:
    return {
        "subject": row.entity or row.symbol,
        "at": end_of_day(row.day),
        "value": row.close,
        "currency": row.currency,
        "basis_date": row.basis_date,
        "state": "closed",
        "source": row.source,
    }


def _fx(row: bundled.BundledFxRate) -> Record:
    return {
        "subject": row.currency,
        "at": end_of_day(row.day),
        "value": row.usd_per_unit,
        "currency": "USD",
        "basis_date": None,
        "state": "closed",
        "source": row.source,
    }


def _money(amount: Decimal | None) -> Decimal | None:
    """`amount` as the column keeps it, so that a stored row compares equal."""
    return None if amount is None else amount.quantize(Decimal("0.00000001"))


def _keyed(
    rows: Iterable[Record], key: tuple[str, ...], ids: Mapping[str, int], unknown: set[str]
) -> dict[Hashable, Record]:
    """The bundled rows of known entities by their key; raises `InputError` for a key used twice."""
    found: dict[Hashable, Record] = {}
    for row in rows:
        slug = row.pop("entity")
        if slug not in ids:
            unknown.add(slug)
            continue
        row["entity_id"] = ids[slug]
        name = tuple(row[field] for field in key)
        if name in found:
            raise InputError(
                "two bundled facts have one key",
                field=", ".join(key),
                value=(slug, *name[1:]),
                mend="make the bundled facts again (docs/facts.md)",
            )
        found[name] = row
    return found


def _sync_table(
    session: Session,
    table: type[Disclosure | Capital],
    key: tuple[str, ...],
    wanted: Mapping[Hashable, Record],
    now: datetime,
    tally: _Tally,
) -> None:
    stored = {
        tuple(getattr(row, field) for field in key): row
        for row in repository.open_rows(session, table)
    }
    gone: list[int] = []
    for name, row in stored.items():
        if row.owner == OWNER and not _same(row, wanted.get(name)):
            gone.append(row.id)
    closed = set(gone)
    stamps: Record = {"owner": OWNER, "recorded_at": now}
    if table is Disclosure:
        stamps["first_seen"] = now
    new = [
        row | stamps
        for name, row in wanted.items()
        if name not in stored or stored[name].id in closed
    ]
    repository.close_rows(session, table, gone, now)
    repository.insert_rows(session, table, new)
    tally.closed += len(gone)
    tally.added += len(new)
    tally.unchanged += len(wanted) - len(new)


def _same(row: object, wanted: Record | None) -> bool:
    return wanted is not None and all(
        getattr(row, field) == value for field, value in wanted.items()
    )


def _sync_actions(
    session: Session, ids: Mapping[str, int], unknown: set[str], now: datetime, tally: _Tally
) -> None:
    """Corporate actions have no closing time: a bundled one that changed is replaced."""
    rows = (
        {
            "entity": row.entity,
            "effective": row.effective,
            "kind": row.kind,
            "numerator": row.ratio.numerator,
            "denominator": row.ratio.denominator,
            "source": row.source,
            "note": row.note,
        }
        for row in bundled.corporate_actions()
    )
    wanted = _keyed(rows, _ACTION_KEY, ids, unknown)
    stored = {
        tuple(getattr(row, field) for field in _ACTION_KEY): row
        for row in repository.actions(session)
    }
    gone = {
        row.id
        for name, row in stored.items()
        if row.id is not None and row.owner == OWNER and not _same(row, wanted.get(name))
    }
    new = [
        row | {"owner": OWNER, "recorded_at": now}
        for name, row in wanted.items()
        if name not in stored or stored[name].id in gone
    ]
    repository.delete_actions(session, gone)
    repository.insert_rows(session, CorporateAction, new)
    tally.closed += len(gone)
    tally.added += len(new)
    tally.unchanged += len(wanted) - len(new)


def _sync_prices(
    session: Session, kind: str, rows: Iterable[Record], now: datetime, tally: _Tally
) -> None:
    """Prices are only ever added: a price that was stored once is what was believed."""
    known = prices.price_keys(session, kind)
    new: list[Record] = []
    for row in rows:
        key = (row["subject"], row["at"], row["source"])
        if key in known:
            tally.unchanged += 1
        else:
            known.add(key)
            new.append(row | {"kind": kind, "recorded_at": now})
    prices.add_prices(session, new)
    tally.added += len(new)
