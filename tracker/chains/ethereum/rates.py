"""Protocol rates: how much ether one liquid staking token stands for, as its contract tells.

A rate is the protocol's own figure, not a market's price: what a redemption would pay, before any
queue, fee or discount. Contracts, functions and where they are published: abi/SOURCES.md. wstETH
and weETH tell stETH and eETH, which their protocols redeem one for one. An Aave token is one for
one with what was lent, so aEthwstETH has the rate of wstETH.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from tracker.chains.ethereum.assets import MAINNET as TOKENS
from tracker.chains.ethereum.contracts import call_data, returned
from tracker.errors import ReplyError
from tracker.log import get_logger

ONE = 10**18
# No rate: more ether than there is for one token. What a row of prices holds is far above.
_ABSURD = 10**9 * ONE

_SAME_AS = {"aEthwstETH": "wstETH"}
_METH_STAKING = bytes.fromhex("e3cBd06D7dadB3F4e6557bAb7EdD924CD1489E8f")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RateCall:
    """Who tells the rate of a token: a contract, and a call by its name in abi/."""

    asset: str
    contract: bytes
    abi: str
    function: str
    arguments: tuple[int, ...] = ()

    @property
    def source(self) -> str:
        """What is asked, as a stored rate names it."""
        return f"{self.asset} contract: {self.function}"


class StatePool(Protocol):
    """Who can call a contract at a block."""

    def call(self, to: bytes, data: bytes, block_hash: bytes) -> bytes | None:
        """What it returns; None where it refuses, empty where there is none."""


def _token(asset: str, function: str, *arguments: int) -> RateCall:
    return RateCall(asset, TOKENS.by_symbol[asset].address, asset.lower(), function, arguments)


MAINNET: tuple[RateCall, ...] = (
    _token("wstETH", "stEthPerToken"),
    _token("rETH", "getExchangeRate"),
    _token("cbETH", "exchangeRate"),
    _token("weETH", "getRate"),
    _token("LsETH", "underlyingBalanceFromShares", ONE),
    RateCall("mETH", _METH_STAKING, "meth_staking", "mETHToETH", (ONE,)),
)


def rated_as(asset: str) -> str:
    """The asset whose rate is that of `asset`; mostly itself."""
    return _SAME_AS.get(asset, asset)


def read_rates(pool: StatePool, block_hash: bytes, calls: Iterable[RateCall]) -> dict[str, int]:
    """Wei for one whole token after the block, by asset.

    One whose contract is not there, refuses, or returns what no rate can be is left out, and the
    log says so. Raises `PrunedStateError` where no source has the state of the block any more, and
    `SourceUnavailableError` where none answers.
    """
    found = {}
    for call in calls:
        data = pool.call(call.contract, call_data(call.abi, call.function, *call.arguments),
                         block_hash)
        if not data:
            log.warning("rate_not_told", asset=call.asset, refused=data is None)
            continue
        try:
            (rate,) = returned(call.abi, call.function, data)
        except ReplyError as error:
            log.warning("rate_unreadable", asset=call.asset, error=str(error))
            continue
        if rate > _ABSURD:
            log.warning("rate_absurd", asset=call.asset, rate=str(rate))
            continue
        found[call.asset] = int(rate)
    return found
