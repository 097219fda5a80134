"""Routers, one file a noun. Each request is one transaction; reads see one snapshot."""
