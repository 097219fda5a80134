"""Intent: what a transfer is believed to be, from named evidence rules added up in log-odds.

The claim that is weighed is always the leading one for the destination (a sale, a custody move…).
Weights stand in one table; each rule is described in docs/rules/. Prior and weights follow the
recorded incidents: an exchange deposit by a holder is usually a sale, a custodian's is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tracker.domain.alert import Evidence
from tracker.domain.entity import Category, Kind
from tracker.domain.transfer import Label, NetTransfer, Party
from tracker.domain.units import decimals

# A hundred-thousandth of a coin: 1,000 satoshi, 10^13 wei.
DUST_DECIMALS = 5


class Intent(StrEnum):
    """What a transfer is (design section 8)."""

    SALE = "sale"
    PRODUCTION_SALE = "production_sale"
    PURCHASE = "purchase"
    INTERNAL = "internal"
    CUSTODY_MOVE = "custody_move"
    COLLATERAL = "collateral"
    LENDING = "lending"
    STAKING = "staking"
    UNSTAKING = "unstaking"
    REWARD = "reward"
    BRIDGE = "bridge"
    SWAP = "swap"
    MINING = "mining"
    ETF_SETTLEMENT = "etf_settlement"
    DISTRIBUTION = "distribution"
    FUND_FEE = "fund_fee"
    LEGAL = "legal"
    DUST = "dust"
    UNKNOWN_OUT = "unknown_out"
    UNKNOWN_IN = "unknown_in"


# Log-odds. The prior of every claim is even (0); a weight of 1 multiplies the odds by e.
WEIGHTS: Mapping[str, float] = {
    "venue_destination": 1.2,
    "market_maker_destination": 1.2,
    "custodian_destination": 1.0,
    "position_destination": 1.5,
    "one_hop_sweep": 0.9,
    "strong_label": 0.5,
    "weak_label": -0.5,
    "partial_destination": -0.6,
    "venue_source": 0.6,
    "coinbase_output": 5.0,
    "all_outputs_own": 4.0,
    "tracked_counterparty": 1.0,
    "estate_pays": 0.8,
    "unlabelled_destination": 0.0,
    "unlabelled_source": 0.0,
    "below_dust_limit": 4.0,
    "own_withdrawal_credentials": 4.0,
    "wrapped": 4.0,
}

SALE_VENUES = frozenset({Category.EXCHANGE, Category.EXCHANGE_DEPOSIT, Category.MARKET_MAKER})
_POSITIONS: Mapping[str, Intent] = {
    Category.LENDING: Intent.COLLATERAL,
    Category.STAKING: Intent.STAKING,
    Category.BRIDGE: Intent.BRIDGE,
}


@dataclass(frozen=True, slots=True)
class Classification:
    """A belief about one transfer. `expires_height` is where the coins stop being followed."""

    intent: Intent
    probability: Decimal
    evidence: tuple[Evidence, ...]
    expires_height: int | None = None


def evidence(rule: str, says: str, **data: object) -> Evidence:
    """Make the evidence item of a rule in the table of weights."""
    return Evidence(rule=rule, says=says, weight=WEIGHTS[rule], data=dict(data))


def probability(items: tuple[Evidence, ...]) -> Decimal:
    """Logistic of the summed weights, to four digits, within 0.01..0.99."""
    total = sum(item.weight for item in items)
    return Decimal(str(round(min(0.99, max(0.01, 1 / (1 + math.exp(-total)))), 4)))


def classify(transfer: NetTransfer, *, follow_blocks: int = 0) -> Classification:
    """What `transfer` is, from the labels at both ends.

    An outflow to addresses that nobody knows is `unknown_out`, with the height until which its
    coins are worth following.
    """
    if transfer.coinbase and transfer.net > 0:
        return _made(
            Intent.MINING,
            evidence("coinbase_output", "the coins are a block's reward", tx=transfer.tx.hex()),
        )
    if not transfer.parties and transfer.gross_out:
        return _made(
            Intent.INTERNAL,
            evidence("all_outputs_own", "every output pays the same holder", fee=transfer.fee),
        )
    if 0 < abs(transfer.net) < 10 ** max(0, decimals(transfer.asset) - DUST_DECIMALS):
        return _made(
            Intent.DUST,
            evidence("below_dust_limit", "too little to mean anything", amount=transfer.net),
        )
    return _outflow(transfer, follow_blocks) if transfer.net < 0 else _inflow(transfer)


def classify_account(
    transfer: NetTransfer, *, own_stake: bool = False, wrapped: bool = False
) -> Classification:
    """What a transfer on an account chain is.

    `own_stake`: its transaction deposited to validators that pay back to the same entity.
    `wrapped`: the same entity wrapped or unwrapped just this amount in it. Coins are not followed.
    """
    if own_stake and transfer.net < 0:
        return _made(
            Intent.STAKING,
            evidence(
                "own_withdrawal_credentials",
                "the deposit names an address of the same holder for withdrawals",
                tx=transfer.tx.hex(),
            ),
        )
    if wrapped:
        return _made(
            Intent.INTERNAL,
            evidence(
                "wrapped", "ether and its wrapped form changed places", tx=transfer.tx.hex()
            ),
        )
    return classify(transfer)


def _made(intent: Intent, *items: Evidence, expires_height: int | None = None) -> Classification:
    return Classification(intent, probability(items), items, expires_height)


def share_of(transfer: NetTransfer, parties: list[Party]) -> float:
    """Fraction of what left the holder that went to `parties`."""
    out = sum(party.amount or 0 for party in transfer.parties)
    return sum(party.amount or 0 for party in parties) / out if out else 0.0


def _labels(parties: list[Party]) -> list[Label]:
    return [party.label for party in parties if party.label is not None]


def _label_strength(labels: list[Label]) -> tuple[Evidence, ...]:
    best = min((label.tier for label in labels), key=lambda tier: tier.rank)
    if best.rank <= 3:
        return (evidence("strong_label", "the address is attested or verified", tier=best),)
    if best.rank >= 5:
        return (evidence("weak_label", "the address is known by a guess only", tier=best),)
    return ()


def _outflow(transfer: NetTransfer, follow_blocks: int) -> Classification:
    held = [party for party in transfer.parties if party.holder is not None]
    if held and share_of(transfer, held) > 0.5:
        return _made(
            Intent.UNKNOWN_OUT,
            evidence(
                "tracked_counterparty",
                "the coins went to another tracked holder: no change of market supply",
                holders=sorted({party.holder for party in held if party.holder}),
            ),
        )
    groups: dict[str, list[Party]] = {}
    for party in transfer.parties:
        if party.label is not None:
            groups.setdefault(party.label.category, []).append(party)
    venues = [party for name in SALE_VENUES for party in groups.get(name, [])]
    if venues:
        return _to_venues(transfer, venues)
    for category, parties in sorted(groups.items()):
        if category in (Category.CUSTODIAN, *_POSITIONS):
            intent = _POSITIONS.get(category, Intent.CUSTODY_MOVE)
            if transfer.owners[0].entity_kind is Kind.ETF and intent is Intent.CUSTODY_MOVE:
                intent = Intent.ETF_SETTLEMENT
            rule = (
                "custodian_destination"
                if category == Category.CUSTODIAN
                else "position_destination"
            )
            return _made(
                intent,
                evidence(
                    rule,
                    f"the coins went to a {category} address: neutral until a second leg",
                    names=_names(parties),
                ),
                *_label_strength(_labels(parties)),
            )
    return _made(
        Intent.UNKNOWN_OUT,
        evidence(
            "unlabelled_destination",
            "nobody knows the addresses that received the coins",
            addresses=len(transfer.parties),
        ),
        expires_height=transfer.height + follow_blocks if follow_blocks else None,
    )


def _names(parties: list[Party]) -> list[str]:
    return sorted({label.name for label in _labels(parties)})


def _to_venues(transfer: NetTransfer, venues: list[Party]) -> Classification:
    exchange = any(
        party.label is not None and party.label.category != Category.MARKET_MAKER
        for party in venues
    )
    rule = "venue_destination" if exchange else "market_maker_destination"
    share = share_of(transfer, venues)
    items = [
        evidence(
            rule,
            f"{share:.0%} of the coins went to {', '.join(_names(venues))}",
            names=_names(venues),
            share=round(share, 4),
            addresses=[party.address for party in venues[:5]],
        ),
        *_label_strength(_labels(venues)),
    ]
    if share < 0.5:
        items.append(
            evidence("partial_destination", "most of the coins went elsewhere", share=share)
        )
    return _sold(transfer.owners[0].entity_kind, items)


def swept(
    kind: Kind, venue: Label, address: str | None, *, share: float, blocks: int
) -> Classification:
    """What an unexplained outflow becomes once its coins arrive at a labelled venue in one hop.

    `share` of what left went on to the venue; `blocks` is the measured delay.
    """
    items: list[Evidence] = [
        evidence(
            "one_hop_sweep",
            f"{share:.0%} of the coins went on to {venue.name} after {blocks} blocks",
            venue=venue.name,
            address=address,
            blocks=blocks,
            share=round(share, 4),
        ),
        *_label_strength([venue]),
    ]
    if share < 0.5:
        items.append(evidence("partial_destination", "most of the coins stayed", share=share))
    return _sold(kind, items)


def _sold(kind: Kind, items: list[Evidence]) -> Classification:
    if kind is Kind.ESTATE:
        items.append(evidence("estate_pays", "estates pay creditors through venues", kind="estate"))
        return _made(Intent.DISTRIBUTION, *items)
    return _made(Intent.SALE, *items)


def _inflow(transfer: NetTransfer) -> Classification:
    venues = [
        party
        for party in transfer.parties
        if party.label is not None and party.label.category in SALE_VENUES
    ]
    if venues:
        return _made(
            Intent.PURCHASE,
            evidence("venue_source", "the coins came from a venue", names=_names(venues)),
            *_label_strength(_labels(venues)),
        )
    held = sorted({party.holder for party in transfer.parties if party.holder is not None})
    if held:
        return _made(
            Intent.UNKNOWN_IN,
            evidence("tracked_counterparty", "the coins came from a tracked holder", holders=held),
        )
    return _made(
        Intent.UNKNOWN_IN,
        evidence("unlabelled_source", "nobody knows where the coins came from"),
    )
