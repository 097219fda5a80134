"""The ledger: blocks applied and rolled back, movements, unspent outputs, balances, transfers."""
