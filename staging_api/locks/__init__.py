"""The lock: expiring, fenced leases on named scopes, decided by PostgreSQL alone."""
