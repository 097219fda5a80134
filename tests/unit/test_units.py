"""Whole coins and base units: exact both ways, and nothing but an int is an amount."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from tracker.db.types import Amount
from tracker.domain.units import DECIMALS, decimals, quantity_text, to_base_units, to_quantity
from tracker.errors import InputError

UINT256 = 2**256 - 1


@given(st.integers(-UINT256, UINT256), st.sampled_from(sorted(DECIMALS)))
def test_every_amount_comes_back_as_it_was(amount: int, asset: str) -> None:
    assert to_base_units(to_quantity(amount, asset), asset) == amount
    assert to_base_units(Decimal(quantity_text(amount, asset)), asset) == amount


@pytest.mark.parametrize(
    ("amount", "asset", "text"),
    [
        (317_526_183, "BTC", "3.17526183"),
        (-1, "BTC", "-0.00000001"),
        (1, "ETH", "0.000000000000000001"),
        (5_000 * 10**8, "BTC", "5000"),
        (0, "BTC", "0"),
        (11_303_232_476, "USDC", "11303.232476"),
        (-1, "stETH", "-0.000000000000000001"),
        (150_000_000, "WBTC", "1.5"),
        (UINT256, "ETH", f"{str(UINT256)[:-18]}.{str(UINT256)[-18:]}"),
    ],
)
def test_a_quantity_is_plain_and_whole(amount: int, asset: str, text: str) -> None:
    assert quantity_text(amount, asset) == text


@pytest.mark.parametrize("quantity", ["0.000000001", "1e-9", "NaN", "Infinity", "-sNaN"])
def test_what_is_no_whole_number_of_base_units_is_refused(quantity: str) -> None:
    with pytest.raises(InputError) as refused:
        to_base_units(Decimal(quantity), "BTC")
    assert refused.value.field == "quantity"


def test_an_asset_that_is_not_followed_is_named() -> None:
    with pytest.raises(InputError, match="asset"):
        decimals("DOGE")


@pytest.mark.parametrize("value", [1.0, Decimal(1), "1", True])
def test_a_column_of_amounts_takes_an_int_only(value: object) -> None:
    with pytest.raises(TypeError):
        Amount().process_bind_param(value, postgresql.dialect())


@pytest.mark.parametrize("amount", [UINT256, -UINT256, 0, None])
def test_a_column_of_amounts_is_wide_enough_for_a_uint256_and_its_sign(amount: int | None) -> None:
    column = Amount()
    stored = column.process_bind_param(amount, postgresql.dialect())
    assert stored is None or len(str(abs(stored))) <= 78
    assert column.process_result_value(stored, postgresql.dialect()) == amount
