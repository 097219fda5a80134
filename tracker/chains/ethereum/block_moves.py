"""What a block did to watched balances, as far as its records at hand can tell."""

from __future__ import annotations

from collections.abc import Container

from tracker.chains.ethereum.assets import AssetTable
from tracker.chains.ethereum.movements import effective, movements
from tracker.chains.ethereum.records import BlockRecords
from tracker.chains.ethereum.safe import payouts
from tracker.domain.account import AccountMove


def block_moves(
    records: BlockRecords, watched: Container[bytes], assets: AssetTable
) -> tuple[AccountMove, ...]:
    """Every change of a balance; without traces, Safe payouts stand in for internal transfers."""
    found = movements(records, watched, assets)
    if records.traces is None:
        found = (*found, *payouts(records, watched))
    return effective(found)
