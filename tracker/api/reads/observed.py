"""What the ledger counts for an entity, by asset, and which of its wallets it can count at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tracker.api.reads.chains import COIN, chain_of
from tracker.db.registry import Wallet
from tracker.domain.asset import stands_for
from tracker.domain.units import quantity_text
from tracker.ledger.history.tenures import Moment, Tenure, state_of
from tracker.ledger.holdings.repository import Held

Sums = Mapping[tuple[str, str], int]


@dataclass(slots=True)
class Counting:
    """How many wallets of an entity on one chain there are, and how many can be counted."""

    wallets: int = 0
    waiting: int = 0
    partly: int = 0  # counted from their first scanned block only
    since_height: int | None = None  # the lowest first block of those
    opened_at: int | None = None  # the height of the newest opening
    known_from: datetime | None = None  # when the last wallet's balance became known


@dataclass(frozen=True, slots=True)
class Observed:
    """What the ledger counts for one entity and asset: base units by bucket, debts above 0.

    `changed_at` is the height of the newest counted change, None where nothing has moved yet;
    `stood_in` the block (height, hash) that an earlier time falls back to, None for now. `past`
    says that an earlier time was asked for.
    """

    buckets: Mapping[str, int] = field(default_factory=dict)
    counting: Counting = field(default_factory=Counting)
    changed_at: int | None = None
    stood_in: tuple[int, bytes] | None = None
    past: bool = False

    @property
    def amount(self) -> int:
        """Over all buckets."""
        return sum(self.buckets.values())

    @property
    def complete(self) -> bool:
        """Whether every wallet is counted with all that it holds."""
        return self.counting.waiting == 0 and self.counting.partly == 0


def counting_now(wallets: Iterable[Wallet]) -> dict[str, Counting]:
    """By chain, the open wallets of one entity."""
    found: dict[str, Counting] = {}
    for wallet in wallets:
        count = found.setdefault(wallet.chain, Counting())
        count.wallets += 1
        state = state_of(wallet)
        if state == "bootstrapping":
            count.waiting += 1
        elif state == "counted_from":
            _partly(count, wallet.active_from_height)
        elif wallet.opening_height is not None:
            count.opened_at = max(count.opened_at or 0, wallet.opening_height)
    return found


def counting_at(tenures: Iterable[Tenure], moment: Moment) -> dict[str, Counting]:
    """By chain, the wallets that make up what is shown for an earlier moment.

    Those that are believed now count as unknown before their openings; those closed since then
    count while they stood, and make nothing unknown.
    """
    found: dict[str, Counting] = {}
    for tenure in tenures:
        counted = tenure.counts_at(moment)
        if not counted and tenure.state == "closed":
            continue
        count = found.setdefault(tenure.chain, Counting())
        count.wallets += 1
        if not counted:
            count.waiting += 1
            count.known_from = max(
                filter(None, (count.known_from, tenure.since)), default=None
            )
        elif not tenure.exact:
            _partly(count, tenure.first_height)
        else:
            count.opened_at = max(count.opened_at or 0, tenure.height or 0)
    return found


def observed_now(counting: Mapping[str, Counting], held: Iterable[Held]) -> dict[str, Observed]:
    """By asset, what stands at the newest block."""
    sums: dict[tuple[str, str], int] = {}
    changed: dict[str, int] = {}
    for each in held:
        sums[each.asset, each.bucket] = each.amount
        changed[each.asset] = max(changed.get(each.asset, 0), each.changed_at)
    return _observed(counting, sums, changed, {}, past=False)


def observed_then(
    counting: Mapping[str, Counting], sums: Sums, changes: Mapping[str, tuple[int, bytes]]
) -> dict[str, Observed]:
    """By asset, what stood at an earlier moment; what had not moved by then is left out."""
    moved = {place: amount for place, amount in sums.items() if amount or place[0] in changes}
    heights = {asset: height for asset, (height, _) in changes.items()}
    return _observed(counting, moved, heights, changes, past=True)


def by_bucket(asset: str, buckets: Mapping[str, int]) -> dict[str, str]:
    """Quantities by bucket, empty ones left out; what is owed is negative."""
    sign = sign_of(asset)
    shown = {name: sign * amount for name, amount in sorted(buckets.items()) if amount}
    return {name: quantity_text(amount, asset) for name, amount in (shown or {"liquid": 0}).items()}


def sign_of(asset: str) -> int:
    """-1 for a debt, which the ledger counts as the token does, above 0."""
    return -1 if stands_for(asset).debt else 1


def _observed(
    counting: Mapping[str, Counting],
    sums: Sums,
    changed: Mapping[str, int],
    stood_in: Mapping[str, tuple[int, bytes]],
    *,
    past: bool,
) -> dict[str, Observed]:
    assets = {asset for asset, _ in sums if chain_of(asset) in counting}
    assets |= {COIN[chain] for chain in counting}
    return {
        asset: Observed(
            buckets={bucket: amount for (each, bucket), amount in sums.items() if each == asset},
            counting=counting[chain_of(asset)],
            changed_at=changed.get(asset),
            stood_in=stood_in.get(asset),
            past=past,
        )
        for asset in assets
    }


def _partly(count: Counting, height: int | None) -> None:
    count.partly += 1
    if height is not None:
        count.since_height = min(height, count.since_height or height)
