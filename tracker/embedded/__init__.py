"""PostgreSQL and Valkey from wheels, the supervisor of `tracker up`, backup and restore."""
