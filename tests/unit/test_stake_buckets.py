"""Where staked ether is: what moved between buckets sums to nothing, the rest is rewards."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rpc_replies import recorded_block
from tracker.domain.account import Bucket
from tracker.errors import ReplyError
from tracker.reconciliation.validators.buckets import (
    BUCKETS,
    ETHER,
    Shift,
    Stake,
    Stand,
    shifts,
    stand,
)
from tracker.scanning.ethereum_block import PRINCIPAL

PENDING, STAKED, EXITING = BUCKETS
GWEI = 10**9
STATUSES = {
    "pending_initialized": PENDING, "pending_queued": PENDING, "active_ongoing": STAKED,
    "active_slashed": STAKED, "active_exiting": EXITING, "exited_unslashed": EXITING,
    "exited_slashed": EXITING, "withdrawal_possible": EXITING,
}


def ether(**amounts: int) -> dict[Bucket, int]:
    return {Bucket(name): amount * ETHER for name, amount in amounts.items()}


def moved(
    held: Mapping[Bucket, int], there: Stand, *, withdrawn: int = 0, hidden: int = 0,
    foreign: int = 0,
) -> set[Shift]:
    return set(shifts(held, there, withdrawn=withdrawn, hidden=hidden, foreign=foreign))


@pytest.mark.parametrize(("status", "bucket"), STATUSES.items())
def test_each_status_has_its_bucket(status: str, bucket: Bucket) -> None:
    found = stand([Stake(32 * ETHER, status, 32 * ETHER)])
    assert {name for name, amount in found.amounts.items() if amount} == {bucket}
    assert found.amounts[bucket] == 32 * ETHER


def test_a_key_that_the_consensus_layer_does_not_know_is_pending() -> None:
    assert stand([Stake(33 * ETHER)]).amounts[PENDING] == 33 * ETHER


def test_what_was_paid_out_or_belongs_to_another_is_not_counted() -> None:
    gone = Stake(32 * ETHER, "withdrawal_done", 0)
    another = Stake(32 * ETHER, "active_ongoing", 64 * ETHER, ours=False)
    assert not any(stand([gone, another]).amounts.values())


def test_a_status_of_no_known_name_is_an_error() -> None:
    with pytest.raises(ReplyError, match="active_dreaming"):
        stand([Stake(32 * ETHER, "active_dreaming", 32 * ETHER)])


def test_an_activation_is_two_movements_and_its_rewards_are_a_rate() -> None:
    there = stand([Stake(32 * ETHER, "active_ongoing", 32 * ETHER + 7)])
    assert moved(ether(pending_deposit=32), there) == {
        Shift(PENDING, "movement", -32 * ETHER), Shift(STAKED, "movement", 32 * ETHER),
        Shift(STAKED, "rate", 7),
    }


def test_what_a_withdrawal_paid_left_by_a_movement() -> None:
    there = stand([Stake(32 * ETHER, "active_ongoing", 32 * ETHER)])
    assert moved({STAKED: 32 * ETHER + 5}, there, withdrawn=9) == {
        Shift(STAKED, "movement", -9), Shift(STAKED, "rate", 4),
    }


def test_penalties_are_a_rate() -> None:
    there = stand([Stake(32 * ETHER, "active_slashed", 30 * ETHER, slashed=True)])
    assert moved(ether(staked=32), there) == {Shift(STAKED, "rate", -2 * ETHER)}


def test_a_top_up_that_waits_in_the_queue_stays_pending() -> None:
    waiting = stand([Stake(132 * ETHER, "active_ongoing", 32 * ETHER + 3)])
    held = {STAKED: 32 * ETHER, PENDING: 100 * ETHER}
    found = moved(held, waiting)
    assert found == {Shift(STAKED, "movement", 3), Shift(PENDING, "movement", -3)}
    credited = stand([Stake(132 * ETHER, "active_ongoing", 132 * ETHER + 5)])
    after = {STAKED: 32 * ETHER + 3, PENDING: 100 * ETHER - 3}
    assert sum(shift.amount for shift in moved(after, credited) if shift.cause == "rate") == 5


def test_what_came_back_as_a_withdrawal_is_no_deposit_under_way() -> None:
    # 40 of 132 were asked back and paid: the ledger has them liquid, and out of `staked`.
    there = stand([Stake(132 * ETHER, "active_ongoing", 92 * ETHER)])
    assert moved(ether(staked=92), there) == set()


def test_deposits_of_before_the_opening_are_an_attribution() -> None:
    there = stand([Stake(32 * ETHER, "active_ongoing", 33 * ETHER)])
    assert moved({}, there, hidden=32 * ETHER) == {
        Shift(STAKED, "attribution", 32 * ETHER), Shift(STAKED, "rate", ETHER),
    }


def test_a_deposit_to_anothers_validator_leaves_by_a_movement() -> None:
    there = stand([Stake(32 * ETHER, "active_ongoing", 64 * ETHER, ours=False)])
    found = moved(ether(pending_deposit=32), there, foreign=32 * ETHER)
    assert found == {Shift(PENDING, "movement", -32 * ETHER)}


def test_recorded_withdrawals_of_rewards_are_far_below_principal() -> None:
    amounts = [int(each["amount"], 16) * GWEI for each in recorded_block()["withdrawals"]]
    assert len(amounts) == 16
    assert max(amounts) * 100 < PRINCIPAL


AMOUNT = st.integers(0, 2048 * 10**9).map(lambda gwei: gwei * GWEI)
STAKES = st.lists(st.builds(
    Stake, AMOUNT, st.sampled_from([None, "withdrawal_done", *STATUSES]), AMOUNT, st.booleans(),
    st.booleans(),
), max_size=5)


@given(st.fixed_dictionaries(dict.fromkeys(BUCKETS, AMOUNT)), STAKES, AMOUNT, AMOUNT, AMOUNT)
def test_buckets_become_what_stands_and_every_cause_adds_up(
    held: dict[Bucket, int], stakes: list[Stake], withdrawn: int, hidden: int, foreign: int
) -> None:
    there = stand(stakes)
    found = shifts(held, there, withdrawn=withdrawn, hidden=hidden, foreign=foreign)
    assert len({(shift.bucket, shift.cause) for shift in found}) == len(found)
    after = {
        bucket: held[bucket] + sum(s.amount for s in found if s.bucket is bucket)
        for bucket in BUCKETS
    }
    queued = after[PENDING] - there.amounts[PENDING]
    assert 0 <= queued <= there.uncredited
    assert (after[STAKED], after[EXITING]) == (there.amounts[STAKED], there.amounts[EXITING])
    causes = {
        cause: sum(s.amount for s in found if s.cause == cause)
        for cause in ("movement", "rate", "attribution")
    }
    assert causes["movement"] == -withdrawn - foreign
    assert causes["attribution"] == hidden
    assert queued == 0 or causes["rate"] <= 0
    again = shifts(after, there, withdrawn=0, hidden=0, foreign=0)
    # Told once more, nothing is left to say.
    assert again == []
