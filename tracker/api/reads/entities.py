"""Entities with what can be seen of each: the list, built in bulk, and one in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tracker.api.paging import Page, page_after
from tracker.api.reads.chains import COIN, Heads
from tracker.api.reads.holdings import PRICE_MAX_AGE, Grounds, holdings, total_value
from tracker.api.reads.ids import stored_id
from tracker.api.reads.observed import counting_now, observed_now
from tracker.api.reads.past import Past
from tracker.api.schemas.entities import EntityDetail, EntityItem, Headline, LastAlert
from tracker.api.schemas.holdings import Holding, Holdings
from tracker.db.alerts import Alert
from tracker.db.facts import Disclosure, Price
from tracker.db.registry import Entity, Wallet
from tracker.db.session import Session
from tracker.detection import repository as detection
from tracker.domain.asset import stands_for
from tracker.domain.entity import Kind, Role, Tier
from tracker.facts import repository as facts
from tracker.facts.rates.repository import Rate, rate_at
from tracker.ledger.history.tenures import Moment
from tracker.ledger.holdings import repository as ledger
from tracker.registry import observability
from tracker.registry import repository as registry
from tracker.valuation import contract, service

NO_MNAV = "no definition has all its inputs"
NOT_VALUED = "only listed holders have an mNAV"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entities are listed; None leaves a property open."""

    kind: Kind | None = None
    role: Role | None = None
    text: str | None = None
    enabled: bool | None = True
    observability: str | None = None

    def admits(self, entity: Entity) -> bool:
        """Whether the free text is part of the slug, name, ticker or country."""
        wanted = (self.text or "").strip().casefold()
        fields = (entity.slug, entity.name, entity.ticker, entity.country)
        return not wanted or any(wanted in field.casefold() for field in fields if field)


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a list, and how many entities the whole of it has."""

    page: Page[EntityItem]
    total: int


def list_entities(
    session: Session, chosen: Filter, heads: Heads, *, limit: int, cursor: str | None = None
) -> Listing:
    """A page of those that pass, the best known first, then the most valuable, then by slug.

    Only the page is read in full: mNAV, the dearest part, orders nothing.
    """
    rows = [
        row
        for row in registry.list_entities(
            session, kind=chosen.kind, role=chosen.role, enabled=chosen.enabled
        )
        if chosen.admits(row)
    ]
    found = [
        known
        for known in _known(session, rows, heads)
        if chosen.observability in (None, known.seen["observability"])
    ]
    found.sort(key=_rank)
    page = page_after(found, [known.entity.slug for known in found], cursor, limit)
    items = _items(session, page.items, heads.now)
    return Listing(Page(items=items, next=page.next), total=len(found))


def show_entity(session: Session, entity: Entity, heads: Heads) -> EntityDetail:
    """One entity in full."""
    (item,) = _items(session, _known(session, [entity], heads), heads.now)
    return EntityDetail(
        **dict(item),
        exchange_mic=entity.exchange_mic,
        currency=entity.currency,
        cik=entity.cik,
        website=entity.website,
        source=entity.source,
        note=entity.note,
        owner=entity.owner,
        rules=entity.rules,
        recorded_at=entity.recorded_at,
    )


def show_holdings(
    session: Session,
    entity: Entity,
    heads: Heads,
    *,
    at: Moment | None = None,
    closed: bool = True,
) -> Holdings:
    """What an entity holds now, or held `at` an earlier moment, with where each chain stands.

    An earlier moment counts the wallets that have been closed since then, unless `closed` is false.
    """
    key = stored_id(entity)
    moment = at or Moment(heads.now)
    rows = registry.wallets_of(session, key, include_closed=True)
    wallets = [row for row in rows if row.closed_at is None]
    past = Past.of(session, key, rows if closed else wallets, heads.now)
    disclosed = facts.latest_totals(session, at=moment.at.date(), entity_ids=[key])
    own = disclosed.get(key, {})
    observed_then = past.then(own, moment)
    if at is None:
        observed = observed_now(counting_now(wallets), ledger.held_now(session, key))
    else:
        observed = past.at(at)
    grounds = Grounds(
        disclosed=own,
        observed=observed,
        prices=_prices(session, moment.at, {stands_for(each).coin for each in {*own, *observed}}),
        heads=heads,
        at=moment.at,
        observed_then=observed_then,
        rates=_rates(session, moment.at, observed),
    )
    items = holdings(grounds)
    seen = _described(entity, wallets, own, items, facts.count_totals(session, [key]).get(key, 0))
    return Holdings(
        entity=entity.slug,
        as_of=moment.at,
        observability=seen["observability"],
        completeness=seen["completeness"],
        assets=items,
        chains=heads.views(),
        reason=None if items else "no disclosure and no wallet of this entity is known",
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What orders an entity in a list: its holdings, and what can be seen of it."""

    entity: Entity
    wallets: Sequence[Wallet]
    disclosed: Mapping[str, Disclosure]
    holdings: list[Holding]
    value: str | None
    value_reason: str | None
    seen: dict[str, Any]


def _known(session: Session, rows: Sequence[Entity], heads: Heads) -> list[_Known]:
    now = heads.now
    ids = [stored_id(row) for row in rows]
    disclosed = facts.latest_totals(session, at=now.date(), entity_ids=ids)
    only = ids[0] if len(ids) == 1 else None
    wallets: dict[int, list[Wallet]] = {}
    for wallet in registry.open_wallets(session, entity_id=only):
        wallets.setdefault(wallet.entity_id, []).append(wallet)
    held: dict[int, list[ledger.Held]] = {}
    for each in ledger.held_now(session, only):
        held.setdefault(each.entity_id, []).append(each)
    prices = _prices(session, now, set(COIN.values()))
    found: list[_Known] = []
    for key, row in zip(ids, rows, strict=True):
        own, stated = wallets.get(key, []), disclosed.get(key, {})
        observed = observed_now(counting_now(own), held.get(key, ()))
        rates = _rates(session, now, observed)
        items = holdings(Grounds(stated, observed, prices, heads, now, rates=rates))
        value, reason = total_value(items)
        seen = _described(row, own, stated, items, None)
        found.append(_Known(row, own, stated, items, value, reason, seen))
    return found


def _items(session: Session, known: Sequence[_Known], now: datetime) -> list[EntityItem]:
    rows = [each.entity for each in known]
    ids = [stored_id(row) for row in rows]
    headlines = service.headline(session, [row for row in rows if row.ticker], at=now)
    alerts = detection.last_alerts(session)
    totals = facts.count_totals(session, ids)
    return [
        _item(each, headlines.get(key), alerts.get(key), totals.get(key, 0))
        for key, each in zip(ids, known, strict=True)
    ]


def _item(
    known: _Known, headline: service.Headline | None, alert: Alert | None, totals: int
) -> EntityItem:
    entity = known.entity
    seen = _described(entity, known.wallets, known.disclosed, known.holdings, totals)
    reason = None
    if headline is None:
        reason = NO_MNAV if entity.ticker else NOT_VALUED
    return EntityItem(
        slug=entity.slug,
        name=entity.name,
        kind=entity.kind,
        role="venue" if entity.role == Role.VENUE else "holder",
        treasury_class=entity.treasury_class,
        country=entity.country,
        ticker=entity.ticker,
        observability=seen["observability"],
        completeness=seen["completeness"],
        holdings=known.holdings,
        value_usd=known.value,
        value_reason=known.value_reason,
        mnav=None
        if headline is None
        else Headline.model_validate(contract.headline_as_contract(headline)),
        mnav_reason=reason,
        last_alert=_last_alert(alert),
        enabled=entity.enabled,
    )


def _described(
    entity: Entity,
    wallets: Sequence[Wallet],
    disclosed: Mapping[str, Disclosure],
    items: Sequence[Holding],
    totals: int | None,
) -> dict[str, Any]:
    """`observability` and `completeness`; the coverage is that of the most valuable asset."""
    covered = [item for item in items if item.coverage is not None]
    main = max(covered, key=lambda item: Decimal(item.value_usd or 0), default=None)
    return observability.describe(
        entity,
        Counter(Tier(wallet.tier) for wallet in wallets),
        bool(disclosed),
        None if main is None or main.coverage is None else Decimal(main.coverage),
        disclosures=totals,
        last_as_of=max((row.as_of for row in disclosed.values()), default=None),
    )


def _last_alert(alert: Alert | None) -> LastAlert | None:
    return None if alert is None else LastAlert.model_validate(alert)


def _prices(session: Session, at: datetime, coins: Collection[str]) -> dict[str, Price]:
    found = {
        coin: facts.latest_price(session, coin, at) for coin in COIN.values() if coin in coins
    }
    return {asset: price for asset, price in found.items() if price is not None}


def _rates(session: Session, at: datetime, assets: Collection[str]) -> dict[str, Rate]:
    """What tokens that are not at par were redeemed for, no longer ago than a price may be."""
    wanted = [asset for asset in assets if not stands_for(asset).at_par]
    found = {asset: rate_at(session, asset, at, PRICE_MAX_AGE) for asset in wanted}
    return {asset: rate for asset, rate in found.items() if rate is not None}


def _rank(known: _Known) -> tuple[int, Decimal, str]:
    """Sorts the best known first, then the most valuable in USD, then by slug."""
    score = int(known.seen["completeness"]["score"])
    return -score, -Decimal(known.value or 0), known.entity.slug
