"""The ledger's past: balances at any moment, day by day, and what changed them."""
