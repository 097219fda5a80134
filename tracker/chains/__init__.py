"""Chains: the port to block sources, its adapters, and the checks of what they answer."""
