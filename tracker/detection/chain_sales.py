"""`sell_off` on the chain: a holder's coins to a labelled venue, directly or by one hop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlmodel import Session

from tracker.db.alerts import Alert
from tracker.db.chain import Transfer
from tracker.db.registry import Entity
from tracker.detection import repository
from tracker.detection.lifecycle import AlertBook
from tracker.detection.news import NewsPolicy
from tracker.domain.alert import Evidence
from tracker.domain.disclosed_sale import YEAR
from tracker.domain.entity import Kind, Tier
from tracker.domain.explorer import bitcoin_tx_url
from tracker.domain.intent import Classification, Intent
from tracker.domain.sell_off import REPORTABLE, RULE, Clip, belief_of, enabled_for, joins
from tracker.domain.units import quantity_text
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
) -> int:
    """Open or grow the alerts of `sales`, in the block's own transaction; returns how many."""
    told = 0
    entities = registry.entities_by_id(session, {sale.entity_id for sale in sales})
    book = AlertBook(session, news, now)
    for entity_id in sorted(entities):
        repository.lock_entity(session, entity_id)
    for sale in sales:
        entity = entities[sale.entity_id]
        if not _reportable(entity, sale):
            continue
        _record(session, book, entity, _clip(session, sale, chain, network), sale.asset)
        told += 1
    return told


def _reportable(entity: Entity, sale: SeenSale) -> bool:
    return (
        sale.belief.intent is Intent.SALE
        and sale.belief.probability >= REPORTABLE
        and sale.amount > 0
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
    for alert in alerts:
        if alert.status not in ("open", "suspended") or not joins(alert.updated_at, at):
            continue
        grounds = repository.grounds_of(session, [alert.id])[alert.id]
        if any(ground.kind == "transfer" for ground in grounds):
            return alert
    return None


def _clip(session: Session, sale: SeenSale, chain: str, network: str) -> Clip:
    disclosed = facts.disclosed_at(session, sale.entity_id, sale.asset, sale.time.date())
    held = disclosed.amount if disclosed is not None else None
    items = list(sale.belief.evidence)
    if disclosed is not None and held:
        items.append(
            Evidence(
                "judged_against_disclosed",
                f"{quantity_text(held, sale.asset)} {sale.asset} disclosed as of {disclosed.as_of}",
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
        belief=belief_of(sale.belief.probability),
        disclosed=held or None,
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
        "explorer_url": bitcoin_tx_url(network, sale.tx),
        "transfer": sale.transfer_id,
        "venue_key": sale.venue_key.hex(),
    }
    if sale.origin is not None:
        ground["origin"] = {
            "tx": sale.origin.tx.hex(),
            "height": sale.origin.height,
            "explorer_url": bitcoin_tx_url(network, sale.origin.tx),
        }
    return ground


def _first_in_year(session: Session, sale: SeenSale) -> bool:
    seen = repository.last_sale_before(
        session, sale.entity_id, sale.asset, sale.time, besides=sale.transfer_id
    )
    stated: list[date] = [
        fact.as_of
        for fact in facts.disclosures_of(session, sale.entity_id)
        if fact.kind == "sale" and fact.asset == sale.asset and fact.as_of <= sale.time.date()
    ]
    on_chain_quiet = seen is None or sale.time - seen > YEAR
    return on_chain_quiet and (not stated or sale.time.date() - max(stated) > YEAR)
