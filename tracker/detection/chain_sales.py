"""`sell_off` on the chain: a holder's coins to a labelled venue, directly or by one hop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlmodel import Session

from tracker.db.alerts import Alert, AlertGround
from tracker.db.chain import Transfer
from tracker.db.registry import Entity
from tracker.detection import repository
from tracker.detection.clips import clip_of
from tracker.detection.lifecycle import AlertBook
from tracker.detection.news import NewsPolicy
from tracker.domain.alert import Evidence
from tracker.domain.asset import coin_of
from tracker.domain.disclosed_sale import YEAR
from tracker.domain.entity import Kind, Tier
from tracker.domain.explorer import tx_url
from tracker.domain.intent import Classification, Intent
from tracker.domain.sell_off import (
    JOIN_WITHIN,
    REPORTABLE,
    RULE,
    Clip,
    belief_of,
    enabled_for,
    joins,
)
from tracker.domain.units import quantity_text, rescaled
from tracker.facts import repository as facts
from tracker.registry import repository as registry


@dataclass(frozen=True, slots=True)
class SeenSale:
    """A transfer taken for a sale, and where it stands: `tx` in the block of `block_hash`.

    For a sweep `tx` is the sweep and `origin` the outflow it explains. `amount` base units sold.
    """

    transfer_id: str
    entity_id: int
    asset: str
    belief: Classification
    amount: int
    value_usd: Decimal | None
    tiers: tuple[Tier, ...]
    venue: str
    venue_key: bytes
    tx: bytes
    height: int
    block_hash: bytes
    time: datetime
    origin: Transfer | None = None

    @property
    def ref(self) -> str:
        """The name by which an alert cites it; the same after re-mining."""
        if self.origin is None:
            return f"transfer:{self.transfer_id}"
        return f"sweep:{self.tx.hex()}:{self.transfer_id}"


def judge(
    session: Session,
    sales: Sequence[SeenSale],
    *,
    chain: str,
    network: str,
    news: NewsPolicy,
    now: datetime,
    agree: int = 1,
    asked: int = 1,
) -> int:
    """Open or grow the alerts of `sales`, in the block's own transaction; returns how many.

    `agree` of the `asked` sources have the block.
    """
    told = 0
    entities = registry.entities_by_id(session, {sale.entity_id for sale in sales})
    book = AlertBook(session, news, now)
    for entity_id in sorted(entities):
        repository.lock_entity(session, entity_id)
    for sale in sales:
        entity = entities[sale.entity_id]
        if not _reportable(entity, sale):
            continue
        clip = _clip(session, sale, chain, network, agree, asked)
        _record(session, book, entity, clip, sale.asset)
        told += 1
    return told


def close_quiet(
    session: Session, chain: str, at: datetime, *, news: NewsPolicy, now: datetime
) -> int:
    """Close the incidents of `chain` that no sale can join any more at block time `at`.

    Block time, not the clock: a scan that catches up is still in the middle of old incidents.
    Returns how many were closed.
    """
    closed = 0
    alerts = repository.open_since_before(session, chain, at - JOIN_WITHIN)
    entities = registry.entities_by_id(session, {alert.entity_id for alert in alerts})
    grounds = repository.grounds_of(session, [alert.id for alert in alerts])
    book = AlertBook(session, news, now)
    for alert in alerts:
        newest = _newest(grounds[alert.id])
        if newest is not None and not joins(newest, at):
            why = f"no further sale in {JOIN_WITHIN.days} days"
            book.close(alert, entities[alert.entity_id], newest + JOIN_WITHIN, why)
            closed += 1
    return closed


def _reportable(entity: Entity, sale: SeenSale) -> bool:
    return (
        entity.enabled
        and sale.belief.intent is Intent.SALE
        and sale.belief.probability >= REPORTABLE
        and sale.amount > 0
        and coin_of(sale.asset) is not None  # spending stablecoins is no sale of the treasury
        and enabled_for(Kind(entity.kind), entity.rules)
    )


def _record(session: Session, book: AlertBook, entity: Entity, clip: Clip, asset: str) -> None:
    cited = repository.grounds_with_ref(session, [clip.ref])
    if cited:
        ground = cited[0]
        alert = repository.find_alert(session, ground.alert_id)
        if alert is None or (ground.standing and ground.data["shown"] == clip.ground):
            return
        # Stood before and was orphaned (or taken back): the same incident, the same id.
        at = clip.ground["height"]
        book.add(alert, entity, clip, why=f"the transaction was mined again in block {at}")
        return
    growing = _growing(repository.alerts_of(session, entity.id or 0, RULE, asset), clip.at, session)
    if growing is None:
        book.open(entity, RULE, asset, clip)
    else:
        book.add(growing, entity, clip)


def _growing(alerts: Sequence[Alert], at: datetime, session: Session) -> Alert | None:
    """The open chain incident that a clip at `at` belongs to."""
    going = [alert for alert in alerts if alert.status in ("open", "suspended")]
    grounds = repository.grounds_of(session, [alert.id for alert in going])
    for alert in going:
        newest = _newest(grounds[alert.id])
        if newest is not None and joins(newest, at):
            return alert
    return None


def _newest(grounds: Sequence[AlertGround]) -> datetime | None:
    """The time of an incident's newest sale on the chain; None for one that has none."""
    times = [clip_of(g.data).at for g in grounds if g.kind == "transfer" and not g.data.get("gone")]
    return max(times, default=None)


def _clip(
    session: Session, sale: SeenSale, chain: str, network: str, agree: int, asked: int
) -> Clip:
    coin = coin_of(sale.asset)
    disclosed = (
        None
        if coin is None
        else facts.disclosed_at(session, sale.entity_id, coin, sale.time.date())
    )
    held = disclosed.amount if disclosed is not None else None
    items = list(sale.belief.evidence)
    if disclosed is not None and held:
        items.append(
            Evidence(
                "judged_against_disclosed",
                f"{quantity_text(held, disclosed.asset)} {disclosed.asset} disclosed "
                f"as of {disclosed.as_of}",
                0.0,
                {"as_of": str(disclosed.as_of), "source": disclosed.source},
            )
        )
    size = f"{quantity_text(sale.amount, sale.asset)} {sale.asset}"
    way = "" if sale.origin is None else " in one hop"
    return Clip(
        ref=sale.ref,
        kind="transfer",
        at=sale.time,
        amount=sale.amount,
        value_usd=sale.value_usd,
        probability=sale.belief.probability,
        belief=belief_of(sale.belief.probability, agree=agree, asked=asked),
        agree=agree,
        asked=asked,
        disclosed=rescaled(held, disclosed.asset, sale.asset) if disclosed and held else None,
        first_in_year=_first_in_year(session, sale),
        tiers=sale.tiers,
        says=f"{size} went to {sale.venue}{way}",
        evidence=tuple(items),
        ground=_ground(sale, chain, network),
    )


def _ground(sale: SeenSale, chain: str, network: str) -> dict[str, object]:
    ground: dict[str, object] = {
        "kind": "transfer",
        "chain": chain,
        "tx": sale.tx.hex(),
        "height": sale.height,
        "hash": sale.block_hash.hex(),
        "explorer_url": tx_url(chain, network, sale.tx),
        "transfer": sale.transfer_id,
        "venue_key": sale.venue_key.hex(),
    }
    if sale.origin is not None:
        ground["origin"] = {
            "tx": sale.origin.tx.hex(),
            "height": sale.origin.height,
            "explorer_url": tx_url(chain, network, sale.origin.tx),
        }
    return ground


def _first_in_year(session: Session, sale: SeenSale) -> bool:
    sold = repository.sold_between(
        session,
        sale.entity_id,
        sale.asset,
        since=sale.time - YEAR,
        until=sale.time,
        besides=sale.transfer_id,
    )
    coin = coin_of(sale.asset)
    stated: list[date] = [
        fact.as_of
        for fact in facts.disclosures_of(session, sale.entity_id)
        if fact.kind == "sale" and fact.asset == coin and fact.as_of <= sale.time.date()
    ]
    return not sold and (not stated or sale.time.date() - max(stated) > YEAR)
