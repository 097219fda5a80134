"""The HTTP API: FastAPI routers, schemas, and the reads that the page shows too."""
