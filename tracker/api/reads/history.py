"""Holdings day by day, and what changed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from tracker.api.paging import EARLIEST, page_after
from tracker.api.reads.chains import Heads, chain_of
from tracker.api.reads.ids import stored_id
from tracker.api.reads.observed import by_bucket, sign_of
from tracker.api.schemas.holdings import ChangeItem, Changes, ChangeSum, History, HistoryPoint
from tracker.db.registry import Entity, Wallet
from tracker.db.session import Session
from tracker.domain.asset import stands_for
from tracker.domain.units import decimals, quantity_text
from tracker.errors import InputError
from tracker.ledger.history import repository as history
from tracker.ledger.history.repository import DayChange
from tracker.ledger.history.tenures import Tenure, tenures, without_opening
from tracker.registry import repository as registry

MAX_POINTS = 4000
_ADDRESSES = 5
_DAY = timedelta(days=1)
NO_WALLET = "no wallet of this entity is known"


@dataclass(frozen=True, slots=True)
class _Wallets:
    """The tenures of an entity: those that are believed now, and those that count in the past."""

    rows: Sequence[Wallet]
    every: Sequence[Tenure]

    @classmethod
    def of(cls, session: Session, entity: Entity, *, closed: bool) -> _Wallets:
        rows = registry.wallets_of(session, stored_id(entity), include_closed=closed)
        found = tenures(rows, history.first_times(session, without_opening(rows)))
        return cls(rows, found)

    @property
    def counted(self) -> list[Tenure]:
        """Those that are part of what was shown on some day."""
        return [
            each
            for each in self.every
            if each.since is not None and (each.closed_at is None or each.closed_at > each.since)
        ]

    def known_from(self, asset: str) -> tuple[datetime | None, str | None]:
        """From when on the holdings of `asset` are known, else None with the reason."""
        own = [t for t in self.every if t.chain == chain_of(asset) and t.state != "closed"]
        if not own:
            return None, NO_WALLET
        waiting = sum(each.since is None for each in own)
        if waiting:
            return None, f"what {waiting} of {len(own)} wallets hold is not known yet"
        partly = sum(not each.exact for each in own)
        reason = None
        if partly:
            reason = f"{partly} of {len(own)} wallets are counted from their first block only"
        return max(each.since for each in own if each.since is not None), reason


def show_history(
    session: Session,
    entity: Entity,
    heads: Heads,
    asset: str | None,
    start: date | None,
    end: date | None,
    *,
    closed: bool = True,
) -> History:
    """One point a UTC day, both ends counted; without `start` from the first day that is known.

    Raises `InputError` for an unknown asset, ends that are crossed, or more than `MAX_POINTS`.
    """
    wallets = _Wallets.of(session, entity, closed=closed)
    chosen = _asset(asset, wallets)
    sign = sign_of(chosen)
    known, reason = wallets.known_from(chosen)
    last = _last(end, heads)
    if start is None:
        floor = last - (MAX_POINTS - 1) * _DAY
        start = max(floor, min(known.astimezone(UTC).date(), last)) if known else last
    first = _first(start, last)
    if (last - first).days + 1 > MAX_POINTS:
        raise InputError(
            f"more than {MAX_POINTS} days", field="from", value=first,
            mend=f"ask for {MAX_POINTS} days at most, or leave `from` out",
        )
    held: dict[str, int] = {}
    for (_, bucket), amount in history.shown_before(
        session, wallets.counted, first, chosen
    ).items():
        held[bucket] = amount
    flows: dict[date, dict[str, int]] = {}
    for day, bucket, amount in history.shown_days(session, wallets.counted, chosen, first, last):
        flows.setdefault(day, {})[bucket] = amount
    items = []
    for step in range((last - first).days + 1):
        day = first + step * _DAY
        for bucket, amount in flows.get(day, {}).items():
            held[bucket] = held.get(bucket, 0) + amount
        if known is None or known > _end_of(day):
            why = reason or "not every wallet was watched yet at that time"
            items.append(
                HistoryPoint(date=day, quantity=None, amount=None, by_bucket=None, reason=why)
            )
            continue
        total = sign * sum(held.values())
        items.append(
            HistoryPoint(
                date=day,
                quantity=quantity_text(total, chosen),
                amount=str(total),
                by_bucket=by_bucket(chosen, held),
                reason=reason,
            )
        )
    return History(
        entity=entity.slug,
        asset=chosen,
        step="day",
        owed=stands_for(chosen).debt,
        items=items,
        known_from=known,
        reason=reason,
    )


def show_changes(
    session: Session,
    entity: Entity,
    heads: Heads,
    asset: str | None,
    start: date | None,
    end: date | None,
    *,
    limit: int,
    cursor: str | None = None,
) -> Changes:
    """What changed the shown holdings from the begin of `start` to the end of `end`.

    Without `start` the last 365 days. A wallet that was closed takes its balance away on the day of
    its end. Raises as `show_history`, and for a cursor that is none of this list.
    """
    if asset is not None:
        decimals(asset)
    wallets = _Wallets.of(session, entity, closed=True)
    last = _last(end, heads)
    first = _first(start or last - 364 * _DAY, last)
    if (last - first).days + 1 > MAX_POINTS:
        raise InputError(
            f"more than {MAX_POINTS} days", field="from", value=first,
            mend=f"ask for {MAX_POINTS} days at most",
        )
    before: dict[str, int] = {}
    for (name, _), amount in history.shown_before(session, wallets.counted, first, asset).items():
        before[name] = before.get(name, 0) + amount
    changes = [
        change
        for change in history.shown_changes(session, wallets.counted, first, last, asset)
        if change.amount
    ]
    addresses = {row.tenure_id or row.id: row.address for row in wallets.rows}
    page = page_after(
        [_item(change, addresses) for change in changes],
        [f"{change.day} {change.asset} {change.cause}" for change in changes],
        cursor,
        limit,
    )
    moved = {change.asset for change in changes}
    assets = sorted(moved | {name for name, amount in before.items() if amount})
    return Changes(
        entity=entity.slug,
        first=first,
        last=last,
        totals=[
            _sum(name, before.get(name, 0), changes, wallets, first, last) for name in assets
        ],
        items=page.items,
        next=page.next,
    )


def _item(change: DayChange, addresses: Mapping[int | None, str]) -> ChangeItem:
    amount = sign_of(change.asset) * change.amount
    return ChangeItem(
        date=change.day,
        cause=change.cause,
        asset=change.asset,
        amount=str(amount),
        quantity=quantity_text(amount, change.asset),
        wallets=[addresses[key] for key in change.wallet_ids[:_ADDRESSES] if key in addresses],
        wallet_count=len(change.wallet_ids),
    )


def _sum(
    asset: str,
    before: int,
    changes: Sequence[DayChange],
    wallets: _Wallets,
    first: date,
    last: date,
) -> ChangeSum:
    sign = sign_of(asset)
    causes: dict[str, int] = {}
    for change in changes:
        if change.asset == asset:
            causes[change.cause] = causes.get(change.cause, 0) + sign * change.amount
    counted_start = sign * before
    counted_end = counted_start + sum(causes.values())
    known, reason = wallets.known_from(asset)
    at_start = known is not None and known <= _end_of(first - _DAY)
    at_end = known is not None and known <= _end_of(last)
    if not at_start and reason is None:
        reason = "not every wallet was watched yet when the period began"
    return ChangeSum(
        asset=asset,
        owed=stands_for(asset).debt,
        start=str(counted_start) if at_start else None,
        end=str(counted_end) if at_end else None,
        counted_start=str(counted_start),
        counted_end=str(counted_end),
        by_cause={cause: str(amount) for cause, amount in sorted(causes.items())},
        reason=reason,
    )


def _asset(asset: str | None, wallets: _Wallets) -> str:
    if asset is not None:
        decimals(asset)
        return asset
    chains = {tenure.chain for tenure in wallets.every if tenure.state != "closed"}
    if chains == {"bitcoin"}:
        return "BTC"
    if chains == {"ethereum"}:
        return "ETH"
    raise InputError(
        "which asset?", field="asset",
        mend="send asset=BTC, asset=ETH, or another that /holdings lists",
    )


def _last(end: date | None, heads: Heads) -> date:
    today = heads.now.astimezone(UTC).date()
    return today if end is None else min(end, today)


def _first(start: date, last: date) -> date:
    first = max(start, EARLIEST.date())
    if first > last:
        raise InputError(
            "it ends before it begins", field="to", value=last, mend="give a `to` not before `from`"
        )
    return first


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time.max, tzinfo=UTC)
