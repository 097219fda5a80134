"""Unspent outputs: ours, and those that are followed."""
