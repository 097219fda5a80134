"""What an entity holds, by each ground of truth side by side. Nothing here adds them together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from tracker.api.reads.chains import Heads, chain_of
from tracker.api.reads.observed import Observed, by_bucket, sign_of
from tracker.api.reads.past import Then
from tracker.api.schemas.holdings import Disclosed, Holding, Nowcast, OnChain, Partial
from tracker.db.facts import Disclosure, Price
from tracker.domain.asset import stands_for
from tracker.domain.units import quantity_text, to_quantity
from tracker.facts.rates.repository import Rate

NO_WALLET = "no wallet of this entity is known, so the chain cannot show its coins"
NO_DISCLOSURE = "the entity has disclosed no total"
# A coin's price older than this is not shown as the value of anything.
PRICE_MAX_AGE = timedelta(days=3)
_CENT = Decimal("0.01")
_RATIO = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Grounds:
    """Everything from which the holdings of one entity are shown."""

    disclosed: Mapping[str, Disclosure]
    observed: Mapping[str, Observed]
    prices: Mapping[str, Price]
    heads: Heads
    at: datetime
    # By coin, what the chain showed at the as-of day of the disclosure.
    observed_then: Mapping[str, Then] = field(default_factory=dict)
    # Of tokens that are not at par: what one is redeemed for, by its own protocol.
    rates: Mapping[str, Rate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Worth:
    """What one whole unit of an asset is worth in US dollars, and why that is known."""

    value: Decimal
    at: datetime
    source: str


def holdings(grounds: Grounds) -> list[Holding]:
    """One item an asset that the entity disclosed or has wallets for, by symbol."""
    assets = sorted(set(grounds.disclosed) | set(grounds.observed))
    return [_holding(asset, grounds) for asset in assets]


def total_value(items: Sequence[Holding]) -> tuple[str | None, str | None]:
    """The USD value of all holdings, or None with the reason; a part unknown makes it unknown.

    Tokens of a coin whose disclosed total is valued are part of that total, not beside it.
    """
    if not items:
        return None, "no holdings are known"
    disclosed = {item.asset for item in items if item.value_basis == "disclosed"}
    own = [item for item in items if not _within(item.asset, disclosed)]
    unknown = [item.asset for item in own if item.value_usd is None and not _empty(item)]
    if unknown:
        return None, f"the value of {', '.join(unknown)} is unknown"
    known = [Decimal(item.value_usd) for item in own if item.value_usd is not None]
    return (str(sum(known, Decimal(0))), None) if known else (None, "no holdings are known")


def _within(asset: str, disclosed: Collection[str]) -> bool:
    """Whether `asset` is a part of a disclosed total of another; a debt never is."""
    stands = stands_for(asset)
    return asset != stands.coin and stands.coin in disclosed and not stands.debt


def _empty(item: Holding) -> bool:
    """An asset that nobody counts or discloses, or of which there is none, hides no value."""
    return item.disclosed.quantity is None and item.onchain.quantity in (None, "0")


def _holding(asset: str, grounds: Grounds) -> Holding:
    disclosure = grounds.disclosed.get(asset)
    seen = grounds.observed.get(asset)
    onchain = _onchain(asset, seen, grounds.heads)
    then = grounds.observed_then.get(asset)
    coverage, coverage_reason = _coverage(disclosure, seen, then)
    price, price_reason = _price(asset, grounds)
    amount, basis, value_reason = _valued(asset, disclosure, seen)
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
        coverage_assets=None if coverage is None or then is None else list(then.assets),
        coverage_leaves_out=None if coverage is None or then is None else list(then.leaves_out),
        price_usd=None if price is None else format(price.value.normalize(), "f"),
        price_as_of=None if price is None else price.at,
        price_source=None if price is None else price.source,
        price_reason=price_reason,
        value_usd=value,
        value_basis=basis,
        value_reason=value_reason,
    )


def _onchain(asset: str, seen: Observed | None, heads: Heads) -> OnChain:
    owed = stands_for(asset).debt

    def unknown(state: str, reason: str, partial: Partial | None = None) -> OnChain:
        return OnChain(
            quantity=None,
            amount=None,
            by_bucket=None,
            as_of_block=None,
            state=state,
            owed=owed,
            opening_known=None if seen is None else seen.complete,
            partial=partial,
            reason=reason,
        )

    if seen is None:
        return unknown("no_wallet", NO_WALLET)
    count = seen.counting
    changed_at = count.opened_at if seen.changed_at is None else seen.changed_at
    block = heads.block(chain_of(asset), changed_at, seen.stood_in)
    if block is None:
        return unknown("not_scanned", heads.missing(chain_of(asset)))
    amount = sign_of(asset) * seen.amount
    quantity, buckets = quantity_text(amount, asset), by_bucket(asset, seen.buckets)
    if count.waiting:
        part = None
        if count.waiting < count.wallets:
            part = Partial(
                quantity=quantity,
                amount=str(amount),
                by_bucket=buckets,
                wallets=count.wallets - count.waiting,
                of=count.wallets,
            )
        return unknown("not_yet_known" if seen.past else "bootstrapping", _waiting(seen), part)
    since = "the first scan" if count.since_height is None else f"block {count.since_height}"
    if count.partly == count.wallets and seen.changed_at is None:
        return unknown(
            "counted_from",
            f"nothing has moved since {since}, and what was held before is not counted",
        )
    reason = None
    if count.partly:
        reason = f"counted since {since} only: what was held before is not known"
        if count.partly < count.wallets:
            verb = "is" if count.partly == 1 else "are"
            reason = f"{count.partly} of {count.wallets} wallets {verb} {reason}"
    return OnChain(
        quantity=quantity,
        amount=str(amount),
        by_bucket=buckets,
        as_of_block=block,
        state="counted_from" if count.partly else "open",
        owed=owed,
        opening_known=count.partly == 0,
        reason=reason,
    )


def _waiting(seen: Observed) -> str:
    """Why the balance of some wallets, or of all, cannot be told."""
    count = seen.counting
    some = f"{count.waiting} of {count.wallets} wallets"
    every, one = count.waiting == count.wallets, count.waiting == 1
    if not seen.past:
        which = "its wallets are" if every else f"{some} {'is' if one else 'are'}"
        return f"{which} still bootstrapping: not all that they hold is read from the chain yet"
    which = "the wallets were" if every else f"{some} {'was' if one else 'were'}"
    known = "" if count.known_from is None else f": known from {count.known_from:%Y-%m-%dT%H:%MZ}"
    return f"{which} not watched yet at that time{known}"


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
    disclosure: Disclosure | None, seen: Observed | None, then: Then | None
) -> tuple[str | None, str | None]:
    if disclosure is None or not disclosure.amount:
        return None, NO_DISCLOSURE
    if seen is None:
        return None, NO_WALLET
    if then is None:
        return None, "not told in a list: see the holdings of the entity"
    if then.amount is None:
        return None, then.reason
    ratio = (Decimal(then.amount) / Decimal(disclosure.amount)).quantize(_RATIO, ROUND_HALF_EVEN)
    return str(ratio), None


def _price(asset: str, grounds: Grounds) -> tuple[_Worth | None, str | None]:
    stands = stands_for(asset)
    rate = grounds.rates.get(asset)
    if not stands.at_par and rate is None:
        return None, f"no recent rate of {asset} in {stands.coin} is known"
    if stands.coin == "USD":
        return _Worth(Decimal(1), grounds.at, "at par: one stands for one US dollar"), None
    price = grounds.prices.get(stands.coin)
    if price is None:
        return None, f"no price of {stands.coin} is known"
    source = price.source
    if rate is not None:
        with localcontext() as context:
            context.prec = 60
            value = rate.value * price.value
        dated = min(price.at, rate.at)
        source = f"{source}; {rate.value.normalize():f} {stands.coin} each by {rate.source}"
    else:
        value, dated = price.value, price.at
    if asset != stands.coin and rate is None:
        source = f"{source}; at par: one stands for one {stands.coin}"
    reason = None
    if grounds.at - price.at > PRICE_MAX_AGE:
        reason = f"the price is of {price.at:%Y-%m-%d}: older than {PRICE_MAX_AGE.days} days"
    return _Worth(value, dated, source), reason


def _valued(
    asset: str, disclosure: Disclosure | None, seen: Observed | None
) -> tuple[int | None, str | None, str | None]:
    """The base units that are valued and their basis: disclosed first, else a complete count."""
    if disclosure is not None and disclosure.amount is not None:
        return disclosure.amount, "disclosed", None
    if seen is not None and seen.complete:
        return sign_of(asset) * seen.amount, "onchain", None
    return None, None, "no complete quantity is known"
