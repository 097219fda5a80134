"""Opening movements: what wallets held before their movements are known."""
