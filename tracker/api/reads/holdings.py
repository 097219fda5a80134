"""What an entity holds, by each ground of truth side by side. Nothing here adds them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from tracker.api.reads.chains import CHAIN_OF, Heads
from tracker.api.schemas.holdings import Disclosed, Holding, Nowcast, OnChain
from tracker.db.facts import Disclosure, Price
from tracker.db.registry import Wallet
from tracker.domain.units import quantity_text, to_quantity

NO_WALLET = "no wallet of this entity is known, so the chain cannot show its coins"
NO_DISCLOSURE = "the entity has disclosed no total"
# A coin's price older than this is not shown as the value of anything.
PRICE_MAX_AGE = timedelta(days=3)
_CENT = Decimal("0.01")
_RATIO = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Observed:
    """What the ledger counts for one entity and asset: base units over its open wallets.

    `changed_at` is the height of the newest counted change, None where nothing has moved yet;
    `stood_in` the block (height, hash) that an earlier time falls back to, None for now.
    """

    amount: int | None
    opening_known: bool
    since_height: int | None
    changed_at: int | None = None
    stood_in: tuple[int, bytes] | None = None
    unobservable: str | None = None


@dataclass(frozen=True, slots=True)
class Grounds:
    """Everything from which the holdings of one entity are shown."""

    disclosed: Mapping[str, Disclosure]
    observed: Mapping[str, Observed]
    prices: Mapping[str, Price]
    heads: Heads
    at: datetime
    # Chain-observed base units at the as-of day of the disclosure, where the ledger reaches back.
    observed_then: Mapping[str, int] = field(default_factory=dict)


def observed_assets(
    wallets: Iterable[Wallet], balances: Mapping[str, tuple[int, int | None]]
) -> dict[str, Observed]:
    """By asset, what the ledger counts; `balances` is asset -> (base units, newest height)."""
    found: dict[str, Observed] = {}
    by_chain: dict[str, list[Wallet]] = {}
    for wallet in wallets:
        by_chain.setdefault(wallet.chain, []).append(wallet)
    for asset, chain in CHAIN_OF.items():
        own = by_chain.get(chain, [])
        if not own:
            continue
        amount, changed_at = balances.get(asset, (None, None))
        starts = [w.active_from_height for w in own if w.active_from_height is not None]
        found[asset] = Observed(
            amount=amount,
            opening_known=all(wallet.opening_known for wallet in own),
            since_height=min(starts) if starts else None,
            changed_at=changed_at,
        )
    return found


def holdings(grounds: Grounds) -> list[Holding]:
    """One item an asset that the entity disclosed or has wallets for, by symbol."""
    assets = sorted(set(grounds.disclosed) | set(grounds.observed))
    return [_holding(asset, grounds) for asset in assets]


def total_value(items: Sequence[Holding]) -> tuple[str | None, str | None]:
    """The USD value of all holdings, or None with the reason; a part unknown makes it unknown."""
    if not items:
        return None, "no holdings are known"
    unknown = [item.asset for item in items if item.value_usd is None and not _empty(item)]
    if unknown:
        return None, f"the value of {', '.join(unknown)} is unknown"
    known = [Decimal(item.value_usd) for item in items if item.value_usd is not None]
    return (str(sum(known, Decimal(0))), None) if known else (None, "no holdings are known")


def _empty(item: Holding) -> bool:
    """An asset with wallets but neither a count nor a disclosure hides no known value."""
    return item.disclosed.quantity is None and item.onchain.quantity is None


def _holding(asset: str, grounds: Grounds) -> Holding:
    disclosure = grounds.disclosed.get(asset)
    seen = grounds.observed.get(asset)
    onchain = _onchain(asset, seen, grounds.heads)
    coverage, coverage_reason = _coverage(disclosure, seen, grounds.observed_then.get(asset))
    price, price_reason = _price(asset, grounds)
    amount, basis, value_reason = _valued(disclosure, seen)
    value = None
    if amount is not None and price is not None:
        with localcontext() as context:
            context.prec = 60
            value = str((to_quantity(amount, asset) * price.value).quantize(_CENT))
    elif amount is not None:
        value_reason = price_reason
    return Holding(
        asset=asset,
        onchain=onchain,
        disclosed=_disclosed(asset, disclosure),
        nowcast=_nowcast(seen),
        coverage=coverage,
        coverage_reason=coverage_reason,
        price_usd=None if price is None else format(price.value.normalize(), "f"),
        price_as_of=None if price is None else price.at,
        price_source=None if price is None else price.source,
        price_reason=price_reason,
        value_usd=value,
        value_basis=basis,
        value_reason=value_reason,
    )


def _onchain(asset: str, seen: Observed | None, heads: Heads) -> OnChain:
    def unknown(reason: str, opening_known: bool | None = None) -> OnChain:
        return OnChain(
            quantity=None,
            amount=None,
            by_bucket=None,
            as_of_block=None,
            opening_known=opening_known,
            reason=reason,
        )

    if seen is None:
        return unknown(NO_WALLET)
    if seen.unobservable is not None:
        return unknown(seen.unobservable)
    block = heads.block(CHAIN_OF[asset], seen.changed_at, seen.stood_in)
    if block is None:
        return unknown(f"no block of {CHAIN_OF[asset]} has been scanned yet", seen.opening_known)
    since = "the first scan" if seen.since_height is None else f"block {seen.since_height}"
    if seen.opening_known:
        amount, reason = seen.amount or 0, None
    elif seen.amount is None:
        return unknown(
            f"nothing has moved since {since}, and what was held before is not counted", False
        )
    else:
        amount = seen.amount
        reason = f"counted since {since} only: what was held before is not known"
    quantity = quantity_text(amount, asset)
    return OnChain(
        quantity=quantity,
        amount=str(amount),
        by_bucket={"liquid": quantity},
        as_of_block=block,
        opening_known=seen.opening_known,
        reason=reason,
    )


def _disclosed(asset: str, disclosure: Disclosure | None) -> Disclosed:
    if disclosure is None:
        return Disclosed(
            quantity=None,
            amount=None,
            as_of=None,
            published_at=None,
            source=None,
            reason=NO_DISCLOSURE,
        )
    known = disclosure.amount
    return Disclosed(
        quantity=None if known is None else quantity_text(known, asset),
        amount=None if known is None else str(known),
        as_of=disclosure.as_of.isoformat(),
        published_at=disclosure.published_at,
        source=disclosure.source,
        reason="the disclosure states no quantity" if known is None else None,
    )


def _nowcast(seen: Observed | None) -> Nowcast:
    reason = (
        "nothing is observable on the chain"
        if seen is None
        else "changes since the disclosure are not yet carried forward"
    )
    return Nowcast(quantity=None, as_of=None, reason=reason)


def _coverage(
    disclosure: Disclosure | None, seen: Observed | None, then: int | None
) -> tuple[str | None, str | None]:
    if disclosure is None or not disclosure.amount:
        return None, NO_DISCLOSURE
    if seen is None:
        return None, NO_WALLET
    if not seen.opening_known:
        return None, "what the wallets held before they were watched is not known"
    if then is None:
        return None, "the ledger does not reach back to the disclosure's date"
    ratio = (Decimal(then) / Decimal(disclosure.amount)).quantize(_RATIO, ROUND_HALF_EVEN)
    return str(ratio), None


def _price(asset: str, grounds: Grounds) -> tuple[Price | None, str | None]:
    price = grounds.prices.get(asset)
    if price is None:
        return None, f"no price of {asset} is known"
    if grounds.at - price.at > PRICE_MAX_AGE:
        return price, f"the price is of {price.at:%Y-%m-%d}: older than {PRICE_MAX_AGE.days} days"
    return price, None


def _valued(
    disclosure: Disclosure | None, seen: Observed | None
) -> tuple[int | None, str | None, str | None]:
    """The base units that are valued and their basis: disclosed first, else a complete count."""
    if disclosure is not None and disclosure.amount is not None:
        return disclosure.amount, "disclosed", None
    if seen is not None and seen.opening_known and seen.amount is not None:
        return seen.amount, "onchain", None
    return None, None, "no complete quantity is known"
