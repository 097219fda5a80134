"""Backfill jobs: ranges of blocks still to be read."""
