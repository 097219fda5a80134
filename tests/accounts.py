"""Signing accounts, without what importing them does to the process.

The library behind them raises Python's recursion limit to 100,000 for the whole process; deep JSON
then ends in a crash of the interpreter instead of an error.
"""

from __future__ import annotations

import sys

_limit = sys.getrecursionlimit()
from eth_account import Account  # noqa: E402  the limit is read before and restored after

sys.setrecursionlimit(_limit)

__all__ = ["Account"]
