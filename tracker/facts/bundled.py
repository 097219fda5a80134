"""The facts that ship with the package: disclosures, capital, corporate actions, prices.

docs/facts.md says where each row comes from, how trades were read out of notes, and what was left
out. Quantities are whole coins; `tracker.domain.units.to_base_units` makes base units of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from importlib.resources import files
from importlib.resources.abc import Traversable

from tracker.domain.units import DECIMALS
from tracker.registry.table import Row, rows

FOLDER = files("tracker.facts") / "bundled"

DISCLOSURE_KINDS = ("total", "purchase", "sale", "pledge")
EVIDENCE = ("primary", "transcribed", "derived", "press")
CAPITAL_FIELDS = (
    "basic_shares",
    "diluted_shares",
    "debt_usd",
    "preferred_usd",
    "cash_usd",
    "restricted_cash_usd",
)
ACTION_KINDS = ("split", "reverse_split", "ads_ratio")

# What a `total` may count. Two totals compare only within one measure.
POSITION_MEASURES = (
    "total",
    "approximate",
    "native_plus_lst_units",
    "total_with_managed_fund",
    "total_with_options",
    "total_with_pledged",
)
# `staked` is a part of the position; `committed` and `transferred` coins are not the entity's.
OTHER_MEASURES = ("staked", "committed", "transferred")
TOTAL_MEASURES = POSITION_MEASURES + OTHER_MEASURES
_MEASURES = {
    "total": TOTAL_MEASURES,
    "purchase": ("trade",),
    "sale": ("trade",),
    "pledge": ("derecognised",),
}

DISCLOSURE_COLUMNS = (
    "entity", "as_of", "asset", "kind", "quantity", "measure", "period_start", "period_end",
    "cost_usd", "average_price_usd", "evidence", "form", "published_at", "source", "note",
)  # fmt: skip
CAPITAL_COLUMNS = (
    "entity", "as_of", "field", "value", "currency", "basis_date", "complete", "source", "note",
)  # fmt: skip
ACTION_COLUMNS = ("entity", "effective", "kind", "ratio", "source", "note")
CLOSE_COLUMNS = ("symbol", "entity", "date", "close", "currency", "basis_date", "source")
FX_COLUMNS = ("date", "currency", "usd_per_unit", "source")


@dataclass(frozen=True, slots=True)
class BundledDisclosure:
    """What an entity reported, in whole coins of `asset`.

    `quantity` is None for a trade stated in money alone. `cost_usd` is the cost of all coins for a
    total, the cost of a purchase, the proceeds of a sale. `period_*` is when a trade happened,
    where that is stated; `published_at` is None where it is unknown.
    """

    entity: str
    as_of: date
    asset: str
    kind: str
    quantity: Decimal | None
    measure: str
    period_start: date | None
    period_end: date | None
    cost_usd: Decimal | None
    average_price_usd: Decimal | None
    evidence: str
    form: str | None
    published_at: datetime | None
    source: str
    note: str | None


@dataclass(frozen=True, slots=True)
class BundledCapital:
    """One field of a capital structure: shares, or money in `currency`.

    `basis_date` is the day on whose split basis a share count stands (None for money). `complete`
    is false where the source counts a part only, or an average of a period: note says which.
    """

    entity: str
    as_of: date
    field: str
    value: Decimal
    currency: str | None
    basis_date: date | None
    complete: bool
    source: str
    note: str | None


@dataclass(frozen=True, slots=True)
class BundledCorporateAction:
    """`ratio` new shares for one old; `effective` is the first trading day on the new basis."""

    entity: str
    effective: date
    kind: str
    ratio: Fraction
    source: str
    note: str | None


@dataclass(frozen=True, slots=True)
class BundledClose:
    """A daily close of a coin (at 24:00 UTC of `day`) or of a share, in `currency`.

    Share closes are split-adjusted to `basis_date`; a coin has neither that nor an `entity`.
    """

    symbol: str
    entity: str | None
    day: date
    close: Decimal
    currency: str
    basis_date: date | None
    source: str


@dataclass(frozen=True, slots=True)
class BundledFxRate:
    """USD for one unit of `currency` on `day`; weekends and holidays have no row."""

    day: date
    currency: str
    usd_per_unit: Decimal
    source: str


def disclosures(folder: Traversable = FOLDER) -> Iterator[BundledDisclosure]:
    """The bundled disclosures, by entity. Raises `InputError` naming file, line and field."""
    for row in rows(folder, "disclosures", DISCLOSURE_COLUMNS):
        yield _disclosure(row)


def capital(folder: Traversable = FOLDER) -> Iterator[BundledCapital]:
    """The bundled capital fields, by entity. Raises `InputError` naming file, line and field."""
    for row in rows(folder, "capital", CAPITAL_COLUMNS):
        yield _capital(row)


def corporate_actions(folder: Traversable = FOLDER) -> Iterator[BundledCorporateAction]:
    """The bundled splits and ADS changes. Raises `InputError` naming file, line and field."""
    for row in rows(folder, "corporate_actions", ACTION_COLUMNS):
        yield BundledCorporateAction(
            entity=row.text("entity"),
            effective=row.day("effective"),
            kind=row.choice("kind", ACTION_KINDS),
            ratio=row.ratio("ratio"),
            source=row.text("source"),
            note=row.optional("note"),
        )


def closes(folder: Traversable = FOLDER) -> Iterator[BundledClose]:
    """The bundled daily closes, by symbol. Raises `InputError` naming file, line and field."""
    for row in rows(folder, "closes", CLOSE_COLUMNS):
        yield BundledClose(
            symbol=row.text("symbol"),
            entity=row.optional("entity"),
            day=row.day("date"),
            close=row.positive("close"),
            currency=row.text("currency"),
            basis_date=row.optional_day("basis_date"),
            source=row.text("source"),
        )


def fx_rates(folder: Traversable = FOLDER) -> Iterator[BundledFxRate]:
    """The bundled exchange rates, by date. Raises `InputError` naming file, line and field."""
    for row in rows(folder, "fx", FX_COLUMNS):
        yield BundledFxRate(
            day=row.day("date"),
            currency=row.text("currency"),
            usd_per_unit=row.positive("usd_per_unit"),
            source=row.text("source"),
        )


def _disclosure(row: Row) -> BundledDisclosure:
    kind = row.choice("kind", DISCLOSURE_KINDS)
    quantity = row.optional_decimal("quantity")
    if quantity is None and (kind == "total" or not row.cells["cost_usd"]):
        row.fail("quantity", "neither a quantity nor, for a trade, its money")
    start, end = row.optional_day("period_start"), row.optional_day("period_end")
    if start is not None and (end is None or end < start):
        row.fail("period_end", "a period that ends before it starts")
    return BundledDisclosure(
        entity=row.text("entity"),
        as_of=row.day("as_of"),
        asset=row.choice("asset", DECIMALS),
        kind=kind,
        quantity=quantity,
        measure=row.choice("measure", _MEASURES[kind]),
        period_start=start,
        period_end=end,
        cost_usd=row.optional_decimal("cost_usd"),
        average_price_usd=row.optional_decimal("average_price_usd"),
        evidence=row.choice("evidence", EVIDENCE),
        form=row.optional("form"),
        published_at=row.optional_instant("published_at"),
        source=row.text("source"),
        note=row.optional("note"),
    )


def _capital(row: Row) -> BundledCapital:
    field = row.choice("field", CAPITAL_FIELDS)
    shares = field.endswith("_shares")
    value = row.decimal("value")
    if shares and (value != int(value) or value == 0):
        row.fail("value", "not a whole number of shares above 0")
    basis_date = row.optional_day("basis_date")
    if shares != (basis_date is not None):
        row.fail("basis_date", "a share count needs one and money has none")
    currency = row.optional("currency")
    if shares == (currency is not None):
        row.fail("currency", "money needs one and a share count has none")
    return BundledCapital(
        entity=row.text("entity"),
        as_of=row.day("as_of"),
        field=field,
        value=value,
        currency=currency,
        basis_date=basis_date,
        complete=row.flag("complete"),
        source=row.text("source"),
        note=row.optional("note"),
    )
