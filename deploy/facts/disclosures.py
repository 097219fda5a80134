"""Disclosures: a total for each recorded row, the trades its note states, publication times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from deploy.facts.files import Cells, read_csv, read_json, table

_ACCESSION = re.compile(r"/(\d{10})(\d{2})(\d{6})(?:/|$)")
_TDNET_NUMBER = re.compile(r"^TDnet (\d+)$")
_TRADE = re.compile(
    r"\b(?P<verb>bought|sold) (?P<quantity>[\d,]*\d)(?: BTC in the period)?"
    r"(?: for (?:about )?(?P<millions>[\d.]+)m USD)?"
)

# The EDGAR listing writes a `Z`, yet means the clock of its own office.
EDGAR_CLOCK = ZoneInfo("America/New_York")

_TRADE_FIELDS = ("period_start", "period_end", "cost_usd", "average_price_usd")


@dataclass(frozen=True, slots=True)
class Trade:
    """A purchase or sale read out of a note: whole coins, and USD where it states them."""

    kind: str
    quantity: Decimal
    cost_usd: Decimal | None


def disclosures(data: Path, holders: dict[str, str]) -> list[Cells]:
    """All disclosures, by entity, asset, date and kind.

    `holders` names the holder that takes the disclosures of a venue that is a listed firm.
    """
    recorded = read_csv(data / "registry" / "disclosures.csv")
    measures = {
        (row["entity"], row["as_of"], row["asset"]): row["measure"] for row in table("measures")
    }
    totals = [_total(row, measures, holders) for row in recorded if row["quantity"]]
    kept = [_kept(row, recorded) for row in table("trades")]
    known = {(row["entity"], row["as_of"]) for row in kept}
    read = [row for row in _trades(totals) if (row["entity"], row["as_of"]) not in known]
    published = _published(data)
    made = [row | {"published_at": _when(row["source"], published)} for row in totals + kept + read]
    return sorted(
        made,
        key=lambda row: (row["entity"], row["asset"], row["as_of"], row["kind"], row["measure"]),
    )


def trade_in(note: str) -> Trade | None:
    """The trade that a note states, or None: `bought 4,020 for 427.1m USD`."""
    found = _TRADE.search(note)
    if found is None:
        return None
    money = found["millions"]
    return Trade(
        kind="purchase" if found["verb"] == "bought" else "sale",
        quantity=Decimal(found["quantity"].replace(",", "")),
        cost_usd=None if money is None else Decimal(money) * 1_000_000,
    )


def utc_of(acceptance: str) -> str:
    """An EDGAR acceptance time (`2025-03-03T08:00:09.000Z`, New York's clock) in UTC."""
    local = datetime.fromisoformat(acceptance.removesuffix("Z")).replace(tzinfo=EDGAR_CLOCK)
    return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _total(row: Cells, measures: dict[tuple[str, str, str], str], holders: dict[str, str]) -> Cells:
    measure = measures.get((row["entity"], row["as_of"], row["asset"]), "total")
    number = _TDNET_NUMBER.match(row["note"])
    return dict.fromkeys(_TRADE_FIELDS, "") | {
        "entity": holders.get(row["entity"], row["entity"]),
        "as_of": row["as_of"],
        "asset": row["asset"].removesuffix("_STAKED"),
        "kind": "total",
        "quantity": row["quantity"],
        "measure": "staked" if row["asset"].endswith("_STAKED") else measure,
        "cost_usd": row["total_cost_usd"],
        "evidence": row["evidence"],
        "form": row["basis"],
        # That service has no lasting addresses: the number tells two notices of a day apart.
        "source": f"{row['source']}#{number[1]}" if number else row["source"],
        "note": row["note"],
    }


def _kept(trade: Cells, recorded: list[Cells]) -> Cells:
    """A hand-kept trade; a blank form, source or note is that of the total of the same day."""
    same_day = [
        row
        for row in recorded
        if (row["entity"], row["as_of"], row["asset"])
        == (trade["entity"], trade["as_of"], trade["asset"])
    ]
    if trade["source"]:
        return trade
    if len(same_day) != 1:
        message = f"trades.csv: {trade['entity']} {trade['as_of']} needs a source of its own"
        raise SystemExit(message)
    row = same_day[0]
    return trade | {
        "source": row["source"],
        "form": trade["form"] or row["basis"],
        "note": trade["note"] or row["note"],
    }


def _trades(totals: list[Cells]) -> Iterator[Cells]:
    """Strategy's trades as its notes state them, where the balance moved by them.

    A quarter's figure, repeated beside the weekly ones, would count those purchases twice; it
    shows by a balance that moved by something else. Trades and balances may differ by 1 (rounding).
    """
    before: Decimal | None = None
    for row in totals:
        if row["entity"] != "strategy":
            continue
        after = Decimal(row["quantity"])
        trade = trade_in(row["note"])
        if trade is not None and before is not None:
            moved = trade.quantity if trade.kind == "purchase" else -trade.quantity
            if abs(after - before - moved) <= 1:
                yield _row(row, trade)
        before = after


def _row(total: Cells, trade: Trade) -> Cells:
    cost = "" if trade.cost_usd is None else format(trade.cost_usd.normalize(), "f")
    return total | {
        "kind": trade.kind,
        "quantity": str(trade.quantity),
        "measure": "trade",
        "cost_usd": cost,
        "period_end": total["as_of"],
        "evidence": "transcribed" if total["evidence"] == "derived" else total["evidence"],
    }


def _published(data: Path) -> dict[str, str]:
    listing = read_json(data / "filings" / "edgar" / "submissions_CIK0001050446.json.gz")
    recent = listing["filings"]["recent"]
    numbers, times = recent["accessionNumber"], recent["acceptanceDateTime"]
    return {number: utc_of(time) for number, time in zip(numbers, times, strict=True)}


def _when(source: str, published: dict[str, str]) -> str:
    found = _ACCESSION.search(source)
    return published.get("-".join(found.groups()), "") if found else ""
