"""A PostgreSQL server out of a wheel, started for its first user and stopped after the last.

This package knows nothing of the service that uses it: it imports only its own modules, and the
caller names the folder, the programs and the database. The interface is
`staging_api.embedded_postgres.server`.
"""
