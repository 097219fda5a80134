"""Descriptors and the wallets that were derived from them, as rows."""
