"""Reconciliation: the ledger against what the chain itself says, at one block."""
