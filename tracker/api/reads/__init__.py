"""Reads: each takes a session of one snapshot and gives schemas. API and page share them."""
