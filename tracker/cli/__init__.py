"""The `tracker` command: a thin client of the HTTP API, and what starts and mends the service."""
