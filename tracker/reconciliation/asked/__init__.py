"""Reconciliation on request: a person asks, the worker answers."""
