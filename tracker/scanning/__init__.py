"""Scanning: a block's one transaction joins ledger, detection and events."""
