"""SQL of the ledger's past: sums of days, and of the movements of the day that a moment cuts.

Never a scan of all movements. The movements of a day are found by (wallet, asset, time).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, Date, DateTime, String
from sqlmodel import Session, col, select

from tracker.db.chain import Balance, Block, Cursor
from tracker.ledger.history.tenures import Moment, Tenure

# A Bitcoin block's time may lie two hours before or after its neighbours' (the rules of median
# time past and of network time), so that a height cuts the days beside its own too.
_SLACK = timedelta(days=1)
Sums = dict[tuple[str, str], int]

# A plain sum a place costs half of what one grouped by two texts does.
_FORWARD = """
    select p.asset, p.bucket,
        coalesce((select sum(amount) from day_flow f
                  where f.wallet_id = any(:ids) and f.asset = p.asset and f.bucket = p.bucket
                    and f.day > :base and f.day < :low), 0)
        + coalesce((select sum(amount) from movement m
                    where m.wallet_id = any(:ids) and m.asset = p.asset and m.bucket = p.bucket
                      and m.canonical and m.time >= :start and m.time < :stop and {counted}), 0)
    from unnest(cast(:assets as text[]), cast(:buckets as text[])) as p(asset, bucket)
"""
_BACKWARD = """
    select p.asset, p.bucket,
        coalesce((select sum(amount) from balance b
                  where b.entity_id = :entity and b.wallet_id = any(:ids)
                    and b.asset = p.asset and b.bucket = p.bucket), 0)
        - coalesce((select sum(amount) from day_flow f
                    where f.wallet_id = any(:ids) and f.asset = p.asset and f.bucket = p.bucket
                      and f.day > :high), 0)
        - coalesce((select sum(amount) from movement m
                    where m.wallet_id = any(:ids) and m.asset = p.asset and m.bucket = p.bucket
                      and m.canonical and m.time >= :start and m.time < :stop
                      and not {counted}), 0)
    from unnest(cast(:assets as text[]), cast(:buckets as text[])) as p(asset, bucket)
"""
_BY_TIME = "m.time <= :at"
_BY_HEIGHT = "m.height <= :height"
_NEWEST = """
    select w.asset, m.height, m.block_hash
    from (select unnest(cast(:ids as bigint[])) as id) t
    cross join (select unnest(cast(:assets as text[])) as asset) w
    cross join lateral (
        select height, block_hash from movement
        where wallet_id = t.id and asset = w.asset and canonical and time <= :at
        order by time desc limit 1
    ) m
    order by w.asset, m.height desc
"""
_AT_OR_BELOW = """
    select m.height, m.time
    from (select unnest(cast(:ids as bigint[])) as id) t
    cross join (select unnest(cast(:assets as text[])) as asset) w
    cross join lateral (
        select height, time from movement
        where wallet_id = t.id and asset = w.asset and canonical and height <= :height
        order by height desc limit 1
    ) m
    order by m.height desc limit 1
"""
# What an entity was shown to hold changes by these: the days of a tenure from its opening on (what
# was counted before it comes with it), its last day up to its end, and its end, which takes all.
_SHOWN = """
    with t as (
        select * from unnest(cast(:ids as bigint[]), cast(:opened as date[]),
                             cast(:ends as timestamptz[])) as t(id, opened, ended)
    ), within as (
        select f.wallet_id, f.asset, f.bucket, greatest(f.day, t.opened) as day,
               case when f.day < t.opened then 'attribution' else f.cause end as cause, f.amount
        from day_flow f join t on t.id = f.wallet_id
        where {asset} (t.ended is null or f.day < (t.ended at time zone 'UTC')::date)
        union all
        select m.wallet_id, m.asset, m.bucket, (m.time at time zone 'UTC')::date, m.cause, m.amount
        from movement m join t on t.id = m.wallet_id
        where {asset} t.ended is not null and m.canonical and m.time <= t.ended
          and m.time >= date_trunc('day', t.ended, 'UTC')
    ), shown as (
        select wallet_id, asset, bucket, day, cause, amount from within
        union all
        select i.wallet_id, i.asset, i.bucket, (t.ended at time zone 'UTC')::date, 'attribution',
               -sum(i.amount)
        from within i join t on t.id = i.wallet_id where t.ended is not null
        group by 1, 2, 3, 4
    )
"""


@dataclass(frozen=True, slots=True)
class DayChange:
    """What one day and cause did to the shown holdings of an asset, in base units."""

    day: date
    asset: str
    cause: str
    amount: int
    wallet_ids: tuple[int, ...]


# -- at a moment -----------------------------------------------------------------------------------


def standing(
    session: Session,
    entity_id: int,
    counted: Sequence[Tenure],
    moment: Moment,
    *,
    today: date,
    places: Sequence[tuple[str, str]],
    base: tuple[date, Sums] | None = None,
) -> Sums:
    """Base units by (asset, bucket) that `counted` tenures of one chain held at `moment`.

    `places` are every (asset, bucket) in which anything ever moved; one in which nothing had by
    then is told as 0. The sum goes over the fewest days: those since the first, those up to
    `today`, or those since the end of the day of `base`, at which the same tenures held that.
    """
    if not counted:
        return {}
    height = moment.height_on(counted[0].chain)
    day = moment.at.astimezone(UTC).date()
    slack = timedelta(0) if height is None else _SLACK
    low, high = day - slack, day + slack
    first = min((each.since for each in counted if each.since is not None), default=moment.at)
    since_first = low - first.astimezone(UTC).date()
    found: Sums = {}
    start = date.min
    if base is not None and timedelta(0) < low - base[0] < since_first:
        start, found = base[0], dict(base[1])
        since_first = low - start
    backward = today - high < since_first
    query = (_BACKWARD if backward else _FORWARD).format(
        counted=_BY_TIME if height is None else _BY_HEIGHT
    )
    rows = session.execute(
        _typed(query),
        {
            "entity": entity_id,
            "ids": [tenure.id for tenure in counted],
            "assets": [asset for asset, _ in places],
            "buckets": [bucket for _, bucket in places],
            "base": start,
            "low": low,
            "high": high,
            "start": datetime.combine(low, time.min, UTC),
            "stop": datetime.combine(high + timedelta(days=1), time.min, UTC),
            "at": moment.at,
            "height": height,
        },
    )
    if backward:
        found = {}
    for asset, bucket, amount in rows:
        found[asset, bucket] = found.get((asset, bucket), 0) + int(amount)
    return found


def newest_changes(
    session: Session,
    counted: Sequence[Tenure],
    moment: Moment,
    *,
    places: Sequence[tuple[str, str]],
) -> dict[str, tuple[int, bytes]]:
    """By asset, the block (height, hash) of the newest movement by the time of `moment`."""
    ids = [tenure.id for tenure in counted]
    if not ids:
        return {}
    found: dict[str, tuple[int, bytes]] = {}
    assets = sorted({asset for asset, _ in places})
    rows = session.execute(_typed(_NEWEST), {"ids": ids, "assets": assets, "at": moment.at})
    for asset, height, block_hash in rows:
        found.setdefault(asset, (height, block_hash))
    return found


def newest_at(
    session: Session, ids: Collection[int], assets: Collection[str], height: int
) -> tuple[int, datetime] | None:
    """Height and time of the newest movement of some tenures up to a height; None before any."""
    found = session.execute(
        _typed(_AT_OR_BELOW), {"ids": sorted(ids), "assets": sorted(assets), "height": height}
    ).first()
    return None if found is None else (found[0], found[1])


def places_of(session: Session, entity_id: int) -> list[tuple[str, str]]:
    """Every (asset, bucket) in which anything of an entity ever moved."""
    query = select(Balance.asset, Balance.bucket).where(Balance.entity_id == entity_id).distinct()
    return sorted((asset, bucket) for asset, bucket in session.exec(query))


# -- over days -------------------------------------------------------------------------------------


def shown_before(
    session: Session, counted: Sequence[Tenure], day: date, asset: str | None = None
) -> Sums:
    """By (asset, bucket), what was shown when `day` began."""
    rows = session.execute(
        _shown(
            "select asset, bucket, sum(amount) from shown where day < :first group by 1, 2", asset
        ),
        {**_tenures(counted), "first": day, "asset": asset},
    )
    return {(asset, bucket): int(amount) for asset, bucket, amount in rows}


def shown_days(
    session: Session, counted: Sequence[Tenure], asset: str, first: date, last: date
) -> list[tuple[date, str, int]]:
    """(day, bucket, base units) by which the shown holdings of an asset changed, by day."""
    rows = session.execute(
        _shown(
            "select day, bucket, sum(amount) from shown where day between :first and :last"
            " group by 1, 2 order by 1, 2",
            asset,
        ),
        {**_tenures(counted), "first": first, "last": last, "asset": asset},
    )
    return [(day, bucket, int(amount)) for day, bucket, amount in rows]


def shown_changes(
    session: Session,
    counted: Sequence[Tenure],
    first: date,
    last: date,
    asset: str | None = None,
) -> list[DayChange]:
    """Every change of the shown holdings by day, asset and cause, the newest day first."""
    rows = session.execute(
        _shown(
            "select day, asset, cause, sum(amount), array_agg(distinct wallet_id) from shown"
            " where day between :first and :last group by 1, 2, 3 order by 1 desc, 2, 3",
            asset,
        ),
        {**_tenures(counted), "first": first, "last": last, "asset": asset},
    )
    return [
        DayChange(day, asset, cause, int(amount), tuple(sorted(ids)))
        for day, asset, cause, amount, ids in rows
    ]


# -- blocks ----------------------------------------------------------------------------------------


def cursors(session: Session) -> dict[str, Cursor]:
    """Where the scan of every chain stands that was ever started."""
    return {row.chain: row for row in session.exec(select(Cursor))}


def first_times(
    session: Session, places: Collection[tuple[str, int | None]]
) -> dict[tuple[str, int | None], datetime]:
    """The time of the first block applied at or above each (chain, height); None: any block."""
    found: dict[tuple[str, int | None], datetime] = {}
    for chain, height in places:
        block = session.exec(
            select(Block)
            .where(Block.chain == chain, col(Block.canonical), col(Block.height) >= (height or 0))
            .order_by(col(Block.height))
            .limit(1)
        ).first()
        if block is not None:
            found[chain, height] = block.time
    return found


def block_range(session: Session, chain: str) -> tuple[int, int] | None:
    """The lowest and the highest canonical block that were applied; None before any."""
    query = select(Block.height).where(Block.chain == chain, col(Block.canonical)).limit(1)
    low = session.exec(query.order_by(col(Block.height))).first()
    high = session.exec(query.order_by(col(Block.height).desc())).first()
    return None if low is None or high is None else (low, high)


def _tenures(counted: Sequence[Tenure]) -> dict[str, Any]:
    """Parallel arrays: of one that is counted from its first block all days are its own."""
    return {
        "ids": [tenure.id for tenure in counted],
        "opened": [
            tenure.since.astimezone(UTC).date() if tenure.exact and tenure.since else date.min
            for tenure in counted
        ],
        "ends": [tenure.closed_at for tenure in counted],
    }


def _shown(query: str, asset: str | None) -> TextClause:
    shown = _SHOWN.format(asset="" if asset is None else "asset = :asset and")
    return _typed(shown + query)


_KINDS: dict[str, Any] = {
    "ids": ARRAY(BigInteger),
    "assets": ARRAY(String),
    "buckets": ARRAY(String),
    "opened": ARRAY(Date),
    "ends": ARRAY(DateTime(timezone=True)),
}


def _typed(query: str) -> TextClause:
    clause = text(query)
    named = [name for name in _KINDS if f":{name}" in query]
    return clause.bindparams(*(bindparam(name, type_=_KINDS[name]) for name in named))
