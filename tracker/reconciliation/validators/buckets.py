"""Where staked ether is, and what moved it there. Pure; amounts in wei.

Statuses are those of the Beacon API (https://hackmd.io/ofFJ5gOmQpu1jjHilHbdQQ, which its
specification refers to). A balance that the consensus layer states is what is there: a deposit that
it has not credited yet is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tracker.domain.account import Bucket
from tracker.errors import ReplyError

ETHER = 10**18
# MIN_DEPOSIT_AMOUNT of the consensus specifications: a smaller gap is no deposit under way.
MIN_DEPOSIT = 1 * ETHER

BUCKETS = (Bucket.PENDING_DEPOSIT, Bucket.STAKED, Bucket.EXITING)

_STAKED = frozenset({"active_ongoing", "active_slashed"})
_PENDING = frozenset({"pending_initialized", "pending_queued"})
_EXITING = frozenset(
    {"active_exiting", "exited_unslashed", "exited_slashed", "withdrawal_possible"}
)
_GONE = "withdrawal_done"


@dataclass(frozen=True, slots=True)
class Stake:
    """One validator: what was deposited for it, and what the consensus layer says of it.

    `status` None: it does not know the key. `ours`: whether its withdrawal credentials name the
    address.
    """

    deposited: int
    status: str | None = None
    balance: int = 0
    slashed: bool = False
    ours: bool = True


@dataclass(frozen=True, slots=True)
class Stand:
    """Wei by bucket, and how much of the deposits may still wait to be credited."""

    amounts: Mapping[Bucket, int]
    uncredited: int = 0


@dataclass(frozen=True, slots=True)
class Shift:
    """What a bucket has to change by, for one cause (`db.chain.Movement`)."""

    bucket: Bucket
    cause: str
    amount: int


def stand(stakes: Iterable[Stake]) -> Stand:
    """How the validators of one address stand; raises `ReplyError` for a status without a name."""
    amounts = dict.fromkeys(BUCKETS, 0)
    uncredited = 0
    for stake in stakes:
        if not stake.ours:
            continue
        status = stake.status
        if status is None:
            amounts[Bucket.PENDING_DEPOSIT] += stake.deposited
        elif status in _PENDING:
            amounts[Bucket.PENDING_DEPOSIT] += max(stake.deposited, stake.balance)
        elif status in _STAKED | _EXITING:
            amounts[Bucket.STAKED if status in _STAKED else Bucket.EXITING] += stake.balance
            gap = stake.deposited - stake.balance
            if gap >= MIN_DEPOSIT and not stake.slashed:
                uncredited += gap
        elif status != _GONE:
            raise ReplyError(
                "a validator has a status of no known name", field="status", value=status,
                mend="this version does not know it; its buckets stay as they are",
            )
    return Stand(amounts, uncredited)


def shifts(
    held: Mapping[Bucket, int], there: Stand, *, withdrawn: int, hidden: int, foreign: int
) -> list[Shift]:
    """What makes the buckets that the ledger holds those that stand `there`, by cause.

    `withdrawn`: what was paid out since the last time and not yet taken out of these buckets;
    `foreign`: deposits that turn out to be another's. Both left: they are movements, and all other
    movements, from bucket to bucket, sum to nothing. `hidden`: deposits of before the wallet's
    opening, which come to light (attribution). What remains is rewards less penalties (rate), but
    for a loss that a deposit under way would explain: that is still pending.
    """
    wanted = dict(there.amounts)
    change = sum(wanted.values()) - sum(held.get(bucket, 0) for bucket in BUCKETS)
    rate = change + withdrawn + foreign - hidden
    queued = min(max(-rate, 0), there.uncredited)
    wanted[Bucket.PENDING_DEPOSIT] += queued
    rate += queued
    earning = Bucket.STAKED
    if not wanted[Bucket.STAKED] and not held.get(Bucket.STAKED, 0):
        earning = Bucket.EXITING
    found = [Shift(earning, "attribution", hidden), Shift(earning, "rate", rate)]
    for bucket in BUCKETS:
        moved = wanted[bucket] - held.get(bucket, 0)
        if bucket is earning:
            moved -= hidden + rate
        found.append(Shift(bucket, "movement", moved))
    return [shift for shift in found if shift.amount]
