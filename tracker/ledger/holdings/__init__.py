"""What the ledger says of an entity: balances, transfers, movements."""
