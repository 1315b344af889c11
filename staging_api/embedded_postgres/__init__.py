"""A PostgreSQL server out of a wheel, started for its users and stopped after the last one.

This package knows nothing of the service that uses it: it imports only itself, and the caller names
the folder, the programs and the database. `staging_api.embedded_postgres.server` is the interface.
"""
