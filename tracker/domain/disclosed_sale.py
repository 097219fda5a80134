"""Falls between disclosures: which are sales, which are something else, which nobody explained.

Only figures of the same measure are compared. Two figures of one day from two documents are a
contradiction, not a fall: the better evidence is taken. Reasons: docs/rules/sell_off.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from tracker.domain.alert import Belief, Evidence
from tracker.domain.entity import Tier
from tracker.domain.sell_off import JOIN_WITHIN, Clip
from tracker.domain.units import decimals, quantity_text

EVIDENCE_RANK = {"primary": 0, "transcribed": 1, "derived": 2, "press": 3, "tracker": 4}
STATED_PROBABILITY = Decimal("0.97")
UNEXPLAINED_PROBABILITY = Decimal("0.55")
YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class DisclosedFact:
    """One row of what an entity reported: base units (None: not stated), money in USD."""

    as_of: date
    kind: str
    amount: int | None
    measure: str
    evidence: str
    source: str
    form: str | None = None
    published_at: datetime | None = None
    cost: Decimal | None = None
    average_price: Decimal | None = None
    quote: str | None = None
    note: str | None = None

    @property
    def units(self) -> int:
        """The stated amount; only for rows that are known to state one."""
        if self.amount is None:
            raise ValueError("the disclosure states no amount")
        return self.amount

    @property
    def at(self) -> datetime:
        """When it became known: its publication, else the end of its day."""
        return self.published_at or datetime.combine(
            self.as_of + timedelta(days=1), time(), tzinfo=UTC
        )


class Reason(StrEnum):
    """What a fall between two disclosures is."""

    STATED_SALE = "stated_sale"
    PLEDGE = "pledge"
    ROUNDING = "rounding"
    WEAK_FIGURE = "weak_figure"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True)
class Fall:
    """A fall of one measure: base units lost between `before` and `after`; None: not stated.

    `after` is the sale itself where no later total was disclosed.
    """

    before: DisclosedFact | None
    after: DisclosedFact
    amount: int | None
    reason: Reason
    sale: DisclosedFact | None = None

    @property
    def fact(self) -> DisclosedFact:
        """The disclosure that tells of it: the stated sale, else the lower figure."""
        return self.sale or self.after


@dataclass(frozen=True, slots=True)
class Incident:
    """Sales that belong together; `closed_on` is the day a rise ended it, None while open."""

    first_ground: str
    clips: tuple[Clip, ...]
    closed_on: date | None


def ground_ref(fact: DisclosedFact) -> str:
    """The name by which an alert cites a disclosure."""
    return f"disclosure:{fact.source}#{fact.as_of.isoformat()}"


def series(facts: Iterable[DisclosedFact], measure: str) -> list[DisclosedFact]:
    """The totals of one measure by date, one a day: the best evidence, then the larger figure."""
    best: dict[date, DisclosedFact] = {}
    for fact in facts:
        if fact.kind != "total" or fact.measure != measure or fact.amount is None:
            continue
        held = best.get(fact.as_of)
        if held is None or _preference(fact) < _preference(held):
            best[fact.as_of] = fact
    return [best[day] for day in sorted(best)]


def _preference(fact: DisclosedFact) -> tuple[int, int]:
    return EVIDENCE_RANK.get(fact.evidence, 9), -fact.units


def _is_rounding(before: int, after: int, asset: str) -> bool:
    """True when the lower figure is the higher one cut or rounded to fewer decimals."""
    unit: int = 10 ** decimals(asset)
    while unit > 1:
        if after % unit == 0:
            return before % unit != 0 and (before - after < unit)
        unit //= 10
    return False


def falls(facts: Sequence[DisclosedFact], asset: str) -> list[Fall]:
    """Every fall of the `total` measure and every stated sale, oldest first, with its reason."""
    totals = series(facts, "total")
    sales = sorted((fact for fact in facts if fact.kind == "sale"), key=lambda fact: fact.as_of)
    pledges = [fact for fact in facts if fact.kind == "pledge"]
    found: list[Fall] = []
    used: set[int] = set()
    for before, after in pairwise(totals):
        lost = before.units - after.units
        window = [
            (i, sale)
            for i, sale in enumerate(sales)
            if before.as_of < sale.as_of <= after.as_of and i not in used
        ]
        if window:
            used.update(i for i, _ in window)
            stated = sum(sale.amount or 0 for _, sale in window)
            # Balances tell the amount where they agree to a coin; a purchase in the same window
            # makes the fall smaller than the sale, and then the statement does.
            one_coin = 10 ** decimals(asset)
            unstated = len(window) == 1 and window[0][1].amount is None and lost > 0
            if unstated or (len(window) == 1 and abs(lost - stated) <= one_coin):
                found.append(Fall(before, after, lost, Reason.STATED_SALE, window[0][1]))
            else:
                found.extend(
                    Fall(before, after, sale.amount, Reason.STATED_SALE, sale) for _, sale in window
                )
            continue
        if lost <= 0:
            continue
        found.append(Fall(before, after, lost, _reason(before, after, lost, asset, pledges)))
    found.extend(
        Fall(_held_before(totals, sale.as_of), sale, sale.amount, Reason.STATED_SALE, sale)
        for i, sale in enumerate(sales)
        if i not in used
    )
    return sorted(found, key=lambda fall: (fall.fact.as_of, fall.fact.source))


def _held_before(totals: Sequence[DisclosedFact], day: date) -> DisclosedFact | None:
    """The newest total of an earlier day: what a sale stated without a new total is judged by."""
    return next((fact for fact in reversed(totals) if fact.as_of < day), None)


def _reason(
    before: DisclosedFact,
    after: DisclosedFact,
    lost: int,
    asset: str,
    pledges: Sequence[DisclosedFact],
) -> Reason:
    if _is_rounding(before.units, after.units, asset):
        return Reason.ROUNDING
    pledged = sum(
        pledge.amount or 0 for pledge in pledges if before.as_of < pledge.as_of <= after.as_of
    )
    if pledged and abs(pledged - lost) * 100 <= lost:
        return Reason.PLEDGE
    weak = max(EVIDENCE_RANK.get(fact.evidence, 9) for fact in (before, after))
    return Reason.WEAK_FIGURE if weak >= EVIDENCE_RANK["press"] else Reason.UNEXPLAINED


def incidents(facts: Sequence[DisclosedFact], asset: str) -> list[Incident]:
    """The sell-offs that the disclosures show, each with a clip a sale, oldest first.

    A rise of the disclosed total after a clip ends its incident, as does a gap of more than
    `JOIN_WITHIN`. Falls explained otherwise, and falls that rest on a press figure alone, are none.
    """
    totals = series(facts, "total")
    groups: list[list[Clip]] = []
    ends: list[date | None] = []
    last_sale: date | None = None
    last_day: date | None = None
    for fall in falls(facts, asset):
        if fall.reason not in (Reason.STATED_SALE, Reason.UNEXPLAINED):
            continue
        day = fall.fact.as_of
        first_in_year = last_sale is None or day - last_sale > YEAR
        clip = _clip(fall, asset, first_in_year=first_in_year)
        rise = None if last_day is None else _rise(totals, last_day, day)
        near = last_day is not None and day - last_day <= JOIN_WITHIN
        if groups and near and rise is None:
            groups[-1].append(clip)
        else:
            groups.append([clip])
            ends.append(None)
        last_sale = last_day = day
        ends[-1] = _rise(totals, day, None)
    return [
        Incident(group[0].ref, tuple(group), end) for group, end in zip(groups, ends, strict=True)
    ]


def _rise(totals: Sequence[DisclosedFact], after: date, until: date | None) -> date | None:
    """The first day past `after` (before `until`) on which the disclosed total rose."""
    held: int | None = None
    for fact in totals:
        if fact.as_of <= after:
            held = fact.units
            continue
        if until is not None and fact.as_of >= until:
            return None
        if held is not None and fact.units > held:
            return fact.as_of
        held = fact.units
    return None


def _clip(fall: Fall, asset: str, *, first_in_year: bool) -> Clip:
    fact = fall.fact
    stated = fall.reason is Reason.STATED_SALE
    size = (
        f"an unstated amount of {asset}"
        if fall.amount is None
        else f"{quantity_text(fall.amount, asset)} {asset}"
    )
    data: dict[str, object] = {
        "amount": None if fall.amount is None else str(fall.amount),
        "as_of": fact.as_of.isoformat(),
    }
    if fall.before is not None:
        data["before"] = str(fall.before.amount)
    if fall.after.kind == "total":
        data["after"] = str(fall.after.amount)
    if stated:
        says = f"{size} disclosed as sold"
        if fall.sale is not None and fall.sale.amount not in (None, fall.amount):
            data["stated"] = str(fall.sale.amount)
            says += f" (stated {quantity_text(fall.sale.units, asset)}, rounding)"
        evidence = Evidence("disclosed_sale", says, 3.5, data)
    else:
        says = f"disclosed holdings fell by {size} and no filing says why"
        evidence = Evidence("unexplained_fall", says, 0.2, data)
    return Clip(
        ref=ground_ref(fact),
        kind="disclosure",
        at=fact.at,
        amount=fall.amount,
        value_usd=fact.cost,
        probability=STATED_PROBABILITY if stated else UNEXPLAINED_PROBABILITY,
        belief=Belief.DISCLOSED if stated else Belief.SUSPECTED,
        disclosed=fall.before.amount if fall.before is not None else None,
        first_in_year=first_in_year,
        tiers=(Tier.FILING,),
        says=says,
        evidence=(evidence,),
        ground={
            "kind": "disclosure",
            "document": fact.source,
            "published_at": None if fact.published_at is None else fact.published_at.isoformat(),
            "as_of": fact.as_of.isoformat(),
            "quote": fact.quote,
            "note": fact.note,
        },
    )
