"""The lock measured beside others: all on one PostgreSQL, in turns, in one run."""
