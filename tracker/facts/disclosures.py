"""What an operator adds to the disclosures: a figure out of a document, with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from sqlmodel import Session

from tracker.db.facts import Disclosure
from tracker.domain.units import DECIMALS, to_base_units
from tracker.errors import ConflictError, InputError
from tracker.facts import repository

OWNER = "operator"

KINDS = (
    "total", "purchase", "sale", "authorisation", "buyback", "pledge", "release", "loan",
    "repayment", "stake", "share_issue", "restatement",
)  # fmt: skip
COLUMNS = (
    "as_of", "asset", "kind", "quantity", "measure", "period_start", "period_end", "cost_usd",
    "average_price_usd", "evidence", "form", "published_at", "source", "quote",
)  # fmt: skip
_REQUIRED = ("as_of", "asset", "kind", "source")
# The genesis block: no coin was held before it.
_EARLIEST = date(2009, 1, 3)
_MAX_TEXT = 2000
_MAX_NUMBER = Decimal(10) ** 15
_LEAST_DIGIT = -30  # as a power of ten; the database refuses exponents far below


@dataclass(frozen=True, slots=True)
class NewDisclosure:
    """A disclosure as given: `quantity` in whole coins, money in US dollars, None where unknown."""

    as_of: date
    asset: str
    kind: str
    source: str
    quantity: Decimal | None = None
    measure: str = "total"
    period_start: date | None = None
    period_end: date | None = None
    cost_usd: Decimal | None = None
    average_price_usd: Decimal | None = None
    evidence: str = "transcribed"
    form: str | None = None
    published_at: datetime | None = None
    quote: str | None = None


def from_row(row: Mapping[str, str]) -> NewDisclosure:
    """A disclosure out of one row of a CSV file with (some of) `COLUMNS`; an empty cell is unknown.

    Raises `InputError` naming the column, the value and the mend.
    """
    for name in row:
        if name not in COLUMNS:
            raise InputError(
                "unknown column", field=name, mend=f"the columns are {', '.join(COLUMNS)}"
            )
    cells = {name: text.strip() for name, text in row.items() if text.strip()}
    for name in _REQUIRED:
        if name not in cells:
            raise InputError("a value is missing", field=name, mend="fill it in")
    return NewDisclosure(
        as_of=_date(cells, "as_of"),
        asset=cells["asset"],
        kind=cells["kind"],
        source=cells["source"],
        quantity=_decimal(cells, "quantity"),
        measure=cells.get("measure", "total"),
        period_start=_date(cells, "period_start") if "period_start" in cells else None,
        period_end=_date(cells, "period_end") if "period_end" in cells else None,
        cost_usd=_decimal(cells, "cost_usd"),
        average_price_usd=_decimal(cells, "average_price_usd"),
        evidence=cells.get("evidence", "transcribed"),
        form=cells.get("form"),
        published_at=_instant(cells, "published_at"),
        quote=cells.get("quote"),
    )


def add(session: Session, entity_id: int, new: NewDisclosure, *, now: datetime) -> Disclosure:
    """Store an operator's disclosure and return its row; the same one twice is stored once.

    One with the same day, asset, kind, measure and source but other content replaces an operator's
    earlier row, which is closed and kept. Raises `InputError` for a value that cannot be, and
    `ConflictError` where a bundled row has that key: it is corrected under a source of its own.
    """
    _check(new, now)
    row = Disclosure(
        entity_id=entity_id,
        as_of=new.as_of,
        asset=new.asset,
        kind=new.kind,
        amount=None if new.quantity is None else to_base_units(new.quantity, new.asset),
        measure=new.measure,
        period_start=new.period_start,
        period_end=new.period_end,
        cost=new.cost_usd,
        average_price=new.average_price_usd,
        evidence=new.evidence,
        form=new.form,
        source=new.source,
        quote=new.quote,
        owner=OWNER,
        published_at=new.published_at,
        first_seen=now,
        recorded_at=now,
    )
    earlier = repository.find_open_disclosure(session, row)
    if earlier is not None:
        if earlier.owner != OWNER:
            raise ConflictError(
                "the bundled facts have this disclosure",
                field="source",
                value=new.source,
                mend="name the document that says otherwise as the source",
            )
        if _content(earlier) == _content(row):
            return earlier
        repository.close_rows(session, Disclosure, [earlier.id or 0], now)
    return repository.add_disclosure(session, row)


def _content(row: Disclosure) -> tuple[object, ...]:
    return (
        row.amount, row.period_start, row.period_end, row.cost, row.average_price, row.evidence,
        row.form, row.quote, row.published_at,
    )  # fmt: skip


def _check(new: NewDisclosure, now: datetime) -> None:
    if new.asset not in DECIMALS:
        raise InputError(
            "unknown asset", field="asset", value=new.asset, mend=f"use {', '.join(DECIMALS)}"
        )
    if new.kind not in KINDS:
        raise InputError(
            "unknown kind", field="kind", value=new.kind, mend=f"use {', '.join(KINDS)}"
        )
    if new.evidence not in repository.EVIDENCE_ORDER:
        raise InputError(
            "unknown evidence",
            field="evidence",
            value=new.evidence,
            mend=f"use {', '.join(repository.EVIDENCE_ORDER)}",
        )
    for name, day in (("as_of", new.as_of), ("period_end", new.period_end)):
        if day is not None and not _EARLIEST <= day <= now.date():
            raise InputError(
                "a date that cannot be", field=name, value=day, mend="give a past date, YYYY-MM-DD"
            )
    if new.period_start and (new.period_end is None or new.period_end < new.period_start):
        raise InputError(
            "a period that ends before it starts",
            field="period_end",
            value=new.period_end,
            mend="give both days of the period, in order",
        )
    if new.published_at is not None and new.published_at > now:
        raise InputError(
            "published in the future",
            field="published_at",
            value=new.published_at,
            mend="give the time at which it was published, in UTC",
        )
    if new.quantity is None and (new.kind == "total" or new.cost_usd is None):
        raise InputError(
            "neither a quantity nor, for a trade, its money",
            field="quantity",
            mend="give the coins; an unknown total is no disclosure",
        )
    for name, number in (
        ("quantity", new.quantity),
        ("cost_usd", new.cost_usd),
        ("average_price_usd", new.average_price_usd),
    ):
        if number is not None and not (
            number.is_finite() and 0 <= number <= _MAX_NUMBER and number.adjusted() >= _LEAST_DIGIT
        ):
            raise InputError(
                "a number that cannot be",
                field=name,
                value=number,
                mend=f"give 0 to {_MAX_NUMBER:.0e}",
            )
    for name, text in (("source", new.source), ("quote", new.quote), ("form", new.form)):
        if text is not None and not 1 <= len(text.strip()) <= _MAX_TEXT:
            raise InputError(
                "empty or too long", field=name, mend=f"give 1 to {_MAX_TEXT} characters"
            )


def _date(cells: Mapping[str, str], name: str) -> date:
    try:
        return date.fromisoformat(cells[name])
    except ValueError:
        raise InputError(
            "not a date", field=name, value=cells[name], mend="write YYYY-MM-DD"
        ) from None


def _instant(cells: Mapping[str, str], name: str) -> datetime | None:
    if name not in cells:
        return None
    try:
        found = datetime.fromisoformat(cells[name])
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # the one error below says what is wanted, whichever part was wrong
    raise InputError(
        "not a time with its zone",
        field=name,
        value=cells[name],
        mend="write 2026-02-05T21:00:00Z",
    )


def _decimal(cells: Mapping[str, str], name: str) -> Decimal | None:
    if name not in cells:
        return None
    try:
        return Decimal(cells[name])
    except InvalidOperation:
        raise InputError(
            "not a number", field=name, value=cells[name], mend="write plain digits, like 1250.5"
        ) from None
