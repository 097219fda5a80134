"""The `sell_off` rule: one or clustered sales are one alert that grows, clip by clip.

A clip is one sale, seen on the chain or in a disclosure. An alert is the fold of its standing
clips: take one away (a reorganisation, a withdrawn label) and fold again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from tracker.domain.alert import Belief, Evidence, Finding, Severity, cap_by_tier
from tracker.domain.entity import SALE_RULE_KINDS, Kind, Tier
from tracker.domain.units import quantity_text

RULE = "sell_off"

# Clips further apart than this are separate incidents.
JOIN_WITHIN = timedelta(days=60)

# Size is judged against disclosed holdings, never against the attributed balance.
WARNING_SHARE = Decimal("0.001")
CRITICAL_SHARE = Decimal("0.05")
WARNING_USD = Decimal(5_000_000)
CRITICAL_USD = Decimal(500_000_000)
# A first sale in a year matters at any size that is a sale at all.
FIRST_SALE_SHARE = Decimal("0.00001")
PROBABLE = Decimal("0.75")
CONFIRMED = Decimal("0.9")
REPORTABLE = Decimal("0.5")
MAX_SHARE = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Clip:
    """One sale: `amount` base units (None: the filing does not say), USD at its own time.

    `disclosed` is what was held before it, in base units.
    """

    ref: str
    kind: Literal["transfer", "disclosure"]
    at: datetime
    amount: int | None
    value_usd: Decimal | None
    probability: Decimal
    belief: Belief
    disclosed: int | None
    first_in_year: bool
    tiers: tuple[Tier, ...]
    says: str
    intent: str = "sale"
    evidence: tuple[Evidence, ...] = field(default=())
    # Of `asked` sources `agree` have the block; a filing, or a single source, is 1 of 1.
    agree: int = 1
    asked: int = 1
    # What the reader can open: chain, tx and explorer, or document and quote.
    ground: dict[str, Any] = field(default_factory=dict)


def enabled_for(kind: Kind, overrides: dict[str, Any]) -> bool:
    """Whether the rule watches an entity of `kind`; `overrides` is the entity's own setting."""
    own = overrides.get(RULE)
    return own if isinstance(own, bool) else kind in SALE_RULE_KINDS


def joins(last: datetime, at: datetime) -> bool:
    """Whether a clip at `at` belongs to the incident whose newest clip was at `last`."""
    return abs(at - last) <= JOIN_WITHIN


def _size(clips: Sequence[Clip]) -> tuple[int | None, Decimal | None, Decimal | None]:
    """Amount (of the clips that state one), share of disclosed holdings, value in USD."""
    stated = [clip.amount for clip in clips if clip.amount is not None]
    amount = sum(stated) if stated else None
    # The base is what was held before the first clip; the newest known figure where that is none.
    base = next((clip.disclosed for clip in clips if clip.disclosed), None)
    share = None
    if base and amount is not None:
        # A disclosure that is off by orders of magnitude must not overflow the column.
        share = min(Decimal(amount) / Decimal(base), MAX_SHARE).quantize(Decimal("1e-10"))
    values = [clip.value_usd for clip in clips]
    known = [value for value in values if value is not None]
    value = sum(known, Decimal(0)) if known and len(known) == len(values) else None
    return amount, share, value


def severity(
    share: Decimal | None,
    value: Decimal | None,
    *,
    belief: Belief,
    first_in_year: bool,
    tiers: tuple[Tier, ...],
) -> Severity:
    """How loud a sale of this size is; what is only suspected, or guessed at, is never critical."""
    large = (share is not None and share >= CRITICAL_SHARE) or (
        value is not None and value >= CRITICAL_USD
    )
    notable = (share is not None and share >= WARNING_SHARE) or (
        value is not None and value >= WARNING_USD
    )
    first = first_in_year and (share is None or share >= FIRST_SALE_SHARE)
    if large and belief is not Belief.SUSPECTED:
        return cap_by_tier(Severity.CRITICAL, *tiers)
    return Severity.WARNING if large or notable or first else Severity.INFO


def fold(entity_slug: str, asset: str, first_ground: str, clips: Sequence[Clip]) -> Finding:
    """The alert that `clips` (oldest first, at least one) make together.

    An amount is in base units; probability and belief are the strongest that a clip reached. `why`
    tells what the newest clip added.
    """
    newest = clips[-1]
    weakest = min(clips, key=lambda clip: Fraction(clip.agree, clip.asked))
    amount, share, value = _size(clips)
    first = clips[0].first_in_year
    tiers = tuple(tier for clip in clips for tier in clip.tiers)
    ranks = list(Belief)
    belief = max((clip.belief for clip in clips), key=ranks.index)
    size = "size not stated" if amount is None else f"{quantity_text(amount, asset)} {asset}"
    of = f", {share:.4%} of disclosed holdings" if share is not None else ""
    total = f"; {len(clips)} sales, {size} in all{of}" if len(clips) > 1 else f" ({size}{of})"
    items = [item for clip in clips[-5:] for item in clip.evidence]
    if first:
        items.append(
            Evidence("first_sale_in_a_year", "no sale is known of the 365 days before the first")
        )
    if share is None:
        items.append(Evidence("size_unknown", "no disclosed holding to judge the size against"))
    return Finding(
        rule=RULE,
        entity_slug=entity_slug,
        asset=asset,
        first_ground=first_ground,
        state=belief,
        severity=severity(share, value, belief=belief, first_in_year=first, tiers=tiers),
        intent=newest.intent,
        probability=max(clip.probability for clip in clips),
        amount=amount,
        share_of_disclosed=share,
        value_usd=value,
        evidence=tuple(items),
        at=newest.at,
        why=newest.says + total,
        agree=weakest.agree,
        asked=weakest.asked,
    )


def belief_of(probability: Decimal, *, agree: int = 1, asked: int = 1) -> Belief:
    """Belief in a claim seen on the chain; confirmed only where most sources have its block.

    `agree` of `asked` sources do; a single source, 1 of 1, is most of them.
    """
    if probability >= CONFIRMED and agree * 2 > asked:
        return Belief.CONFIRMED
    return Belief.PROBABLE if probability >= PROBABLE else Belief.SUSPECTED
