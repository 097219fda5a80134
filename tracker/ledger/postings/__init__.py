"""Movements, and the balances and days that they add up to."""
