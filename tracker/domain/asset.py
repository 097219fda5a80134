"""What an asset is worth counting as: which coin it stands for, and whether one for one. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Coin = Literal["BTC", "ETH", "USD"]


@dataclass(frozen=True, slots=True)
class Stands:
    """`asset` is a claim on `coin`; `at_par` where one is redeemable for one of it.

    What is not at par has a protocol rate that is read, never assumed. A `debt` is owed, not held.
    """

    coin: Coin
    at_par: bool = True
    debt: bool = False


_STANDS: dict[str, Stands] = {
    "BTC": Stands("BTC"),
    "WBTC": Stands("BTC"),
    "cbBTC": Stands("BTC"),
    "tBTC": Stands("BTC"),
    "aEthWBTC": Stands("BTC"),
    "ETH": Stands("ETH"),
    "WETH": Stands("ETH"),
    "stETH": Stands("ETH"),
    "aEthWETH": Stands("ETH"),
    "wstETH": Stands("ETH", at_par=False),
    "aEthwstETH": Stands("ETH", at_par=False),
    "rETH": Stands("ETH", at_par=False),
    "cbETH": Stands("ETH", at_par=False),
    "weETH": Stands("ETH", at_par=False),
    "LsETH": Stands("ETH", at_par=False),
    "mETH": Stands("ETH", at_par=False),
    "variableDebtEthWETH": Stands("ETH", debt=True),
}


def stands_for(asset: str) -> Stands:
    """What `asset` stands for; every other tracked token is a dollar token or a debt in one."""
    return _STANDS.get(asset) or Stands("USD", debt="Debt" in asset)


def coin_of(asset: str) -> Coin | None:
    """The coin whose holdings a movement of `asset` changes, one for one; None for any other."""
    stands = stands_for(asset)
    return stands.coin if stands.at_par and not stands.debt and stands.coin != "USD" else None
