"""Prices as series and in bulk: closes, polls, exchange rates."""
