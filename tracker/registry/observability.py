"""What can be known of an entity, in words and fields: by its wallets, by what it discloses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from tracker.db.registry import Entity
from tracker.domain.entity import Observability, Role, Tier, observability

NO_WALLET = "no wallet of this entity is known, so that the chain cannot see its coins"


def describe(
    entity: Entity,
    tiers: Collection[Tier] | Mapping[Tier, int],
    discloses: bool,
    coverage: Decimal | None,
    *,
    disclosures: int | None = None,
    last_as_of: date | None = None,
) -> dict[str, Any]:
    """`observability` and `completeness` of an entity, ready for JSON.

    `tiers` are those of its open wallets, with how many of each where that is counted. `coverage`
    is the share of the disclosed holdings that the chain shows, None where it is not known.
    `disclosures` is how many totals are known and `last_as_of` the date of the newest. What is not
    known is null with its reason beside it, never 0. `score` orders a list by what is known.
    """
    counts = {tier: _count(tiers, tier) for tier in Tier if tier in tiers}
    seen = observability(frozenset(counts), discloses=discloses)
    total = None if None in counts.values() else sum(filter(None, counts.values()))
    completeness: dict[str, Any] = {
        "says": _words(entity, seen, counts, coverage, last_as_of),
        "score": _score(seen, discloses=discloses),
        "chain_observed": bool(counts),
        "onchain_reason": None if counts else NO_WALLET,
        "wallets": {
            "count": total,
            "by_tier": {str(tier): count for tier, count in counts.items()},
        },
        "disclosures": {
            "known": discloses,
            "count": disclosures if discloses else 0,
            "last_as_of": last_as_of.isoformat() if last_as_of is not None else None,
        },
        "coverage": None if coverage is None else format(coverage.normalize(), "f"),
        "coverage_reason": _no_coverage(coverage, counts, discloses=discloses),
        "missing": _missing(entity, counts, discloses=discloses),
    }
    return {"observability": str(seen), "completeness": completeness}


def _count(tiers: Collection[Tier] | Mapping[Tier, int], tier: Tier) -> int | None:
    return tiers[tier] if isinstance(tiers, Mapping) else None


def _score(seen: Observability, *, discloses: bool) -> int:
    """0 (nothing is known) to 4 (attested wallets and disclosures)."""
    chain = {Observability.ATTESTED: 2, Observability.PARTIAL: 1}.get(seen, 0)
    return chain + (2 if discloses else 0)


def _words(
    entity: Entity,
    seen: Observability,
    counts: Mapping[Tier, int | None],
    coverage: Decimal | None,
    last_as_of: date | None,
) -> str:
    if entity.role == Role.VENUE:
        return "A venue: its addresses are known as destinations and are not summed into a balance."
    wallets = _plural(counts)
    share = "" if coverage is None else f" The chain shows {coverage:.1%} of what it disclosed."
    said = "" if last_as_of is None else f" It last disclosed holdings as of {last_as_of}."
    return {
        Observability.ATTESTED: f"Every known wallet ({wallets}) is attested by the entity itself."
        + share
        + said,
        Observability.PARTIAL: f"Some wallets are known ({wallets}); there may be others."
        + share
        + said,
        Observability.DISCLOSURE_ONLY: "Followed by its disclosures only: no wallet is known."
        + said,
        Observability.NONE: "No wallet and no disclosure is known.",
    }[seen]


def _plural(counts: Mapping[Tier, int | None]) -> str:
    return ", ".join(
        str(tier) if count is None else f"{count} {tier}" for tier, count in counts.items()
    )


def _no_coverage(
    coverage: Decimal | None, counts: Mapping[Tier, int | None], *, discloses: bool
) -> str | None:
    if coverage is not None:
        return None
    if not counts:
        return NO_WALLET
    if not discloses:
        return "the entity discloses no holdings to compare with"
    return "the balance of its wallets at the date of the disclosure is not known yet"


def _missing(entity: Entity, counts: Mapping[Tier, int | None], *, discloses: bool) -> list[str]:
    missing = [] if counts or entity.role == Role.VENUE else ["wallets"]
    if not discloses and entity.role == Role.HOLDER:
        missing.append("disclosures")
    if entity.kind == "dat":
        missing += [name for name in ("ticker", "treasury_class") if getattr(entity, name) is None]
    return missing
