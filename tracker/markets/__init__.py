"""Prices from public venues: coins, shares, exchange rates."""
