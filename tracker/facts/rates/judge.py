"""Whether a rate that a contract told can be believed. Pure.

A rate grows by a few percent a year, and falls only when validators are slashed. One far from the
last one believed is more likely a contract that was broken or replaced, or a node that errs: it is
put aside, and its token has no rate, until the next reading says the same.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

LOWEST, HIGHEST = Decimal("0.9"), Decimal(3)
MAX_JUMP = Decimal("0.05")


class RateState(StrEnum):
    """What is thought of a reading, as its row says."""

    BELIEVED = "open"  # the word of every price that holds now
    REFUSED = "refused"


def judge(value: Decimal, believed: Decimal | None, refused: Decimal | None) -> RateState:
    """The state of a new reading of `value`, ether for one token.

    `believed` is the last one believed, `refused` the reading before this one where that was
    refused; None where there is none.
    """
    if not LOWEST < value < HIGHEST:
        return RateState.REFUSED
    if believed is None or _near(value, believed):
        return RateState.BELIEVED
    if refused is not None and _near(value, refused):
        return RateState.BELIEVED
    return RateState.REFUSED


def _near(value: Decimal, other: Decimal) -> bool:
    return abs(value - other) <= MAX_JUMP * other
