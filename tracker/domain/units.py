"""Exact conversion between whole coins and base units (satoshi, wei, token units)."""

from __future__ import annotations

from decimal import Decimal, localcontext

from tracker.errors import InputError

# Decimals of each asset: 10**decimals base units make one coin.
DECIMALS: dict[str, int] = {
    "BTC": 8, "ETH": 18,
    "WETH": 18, "WBTC": 8, "cbBTC": 8, "tBTC": 18,
    "stETH": 18, "wstETH": 18, "rETH": 18, "cbETH": 18, "weETH": 18, "LsETH": 18, "mETH": 18,
    "USDC": 6, "USDT": 6, "DAI": 18, "USDS": 18,
    "aEthWETH": 18, "aEthWBTC": 8, "aEthwstETH": 18, "aEthUSDC": 6, "aEthUSDT": 6,
    "variableDebtEthWETH": 18, "variableDebtEthUSDC": 6, "variableDebtEthUSDT": 6,
}  # fmt: skip


def decimals(asset: str) -> int:
    """Decimals of `asset`; raises `InputError` for an asset that is not followed."""
    try:
        return DECIMALS[asset]
    except KeyError:
        raise InputError(
            "unknown asset", field="asset", value=asset, mend=f"use one of {', '.join(DECIMALS)}"
        ) from None


def to_base_units(quantity: Decimal, asset: str) -> int:
    """`quantity` whole coins as an integer of base units.

    Raises `InputError` when the quantity has more decimals than the asset, or is not finite.
    """
    if not quantity.is_finite():
        raise InputError("not a number", field="quantity", value=quantity, mend="give a decimal")
    with localcontext() as context:
        context.prec = 120
        scaled = quantity.scaleb(decimals(asset))
        whole = scaled.to_integral_value()
        if whole != scaled:
            raise InputError(
                f"more than {decimals(asset)} decimals",
                field="quantity",
                value=quantity,
                mend="round it to the asset's base unit",
            )
        return int(whole)


def to_quantity(amount: int, asset: str) -> Decimal:
    """Base units as whole coins, exact."""
    with localcontext() as context:
        context.prec = 120
        return Decimal(amount).scaleb(-decimals(asset))


def rescaled(amount: int, asset: str, other: str) -> int:
    """`amount` base units of `asset` as the same quantity in base units of `other`, cut off."""
    shift = decimals(other) - decimals(asset)
    factor: int = 10 ** abs(shift)
    return amount * factor if shift >= 0 else amount // factor


def quantity_text(amount: int, asset: str) -> str:
    """Base units as the decimal string of whole coins, without trailing zeros or exponent."""
    text = format(to_quantity(amount, asset), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
